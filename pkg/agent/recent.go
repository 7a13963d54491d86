package agent

import "container/list"

// recent keeps at most so many values. For a new one it forgets that which was used
// longest ago. Its owner guards it.
type recent[K comparable, V any] struct {
	most  int
	items map[K]*list.Element
	order list.List // of pair[K, V], the last used first
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](most int) *recent[K, V] {
	return &recent[K, V]{most: most, items: map[K]*list.Element{}}
}

// get finds a value, and uses it.
func (r *recent[K, V]) get(key K) (value V, ok bool) {
	e, ok := r.items[key]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*pair[K, V]).value, true
}

// put keeps a value, and returns that which it had to forget for it.
func (r *recent[K, V]) put(key K, value V) (forgotten V, ok bool) {
	if e, ok := r.items[key]; ok {
		e.Value.(*pair[K, V]).value = value
		r.order.MoveToFront(e)
		return forgotten, false
	}
	r.items[key] = r.order.PushFront(&pair[K, V]{key, value})
	if r.order.Len() <= r.most {
		return forgotten, false
	}
	last := r.order.Back().Value.(*pair[K, V])
	r.drop(last.key)
	return last.value, true
}

func (r *recent[K, V]) drop(key K) {
	if e, ok := r.items[key]; ok {
		r.order.Remove(e)
		delete(r.items, key)
	}
}

func (r *recent[K, V]) len() int { return r.order.Len() }

// each calls f with every value, the last used first, until it returns false.
func (r *recent[K, V]) each(f func(V) bool) {
	for e := r.order.Front(); e != nil; e = e.Next() {
		if !f(e.Value.(*pair[K, V]).value) {
			return
		}
	}
}
