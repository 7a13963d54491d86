package input

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// cborMode reads CBOR within the bounds of an input, and refuses two members of
// the same name (RFC 8949, section 5.6).
var cborMode = sync.OnceValues(func() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxNodes,
		MaxMapPairs:      maxNodes,
		UTF8:             cbor.UTF8RejectInvalid,
		DefaultMapType:   reflect.TypeFor[map[string]any](),
	}.DecMode()
})

// CBOR reads one map, of which all names are texts: the body of Smithy's RPC v2
// protocol. Numbers are [json.Number], and times are numbers. An empty body is an
// empty map.
func CBOR(body []byte) (map[string]any, error) {
	if len(body) == 0 {
		return map[string]any{}, nil
	}
	mode, err := cborMode()
	if err != nil {
		return nil, err
	}
	var v any
	if err := mode.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("%w: %.200s", ErrForm, err.Error())
	}
	top, ok := v.(map[string]any)
	if !ok {
		return nil, ErrForm
	}
	var used budget
	tree, err := plain(top, &used)
	if err != nil {
		return nil, err
	}
	return tree.(map[string]any), nil
}

// plain is a value in the types of an input.
func plain(v any, used *budget) (any, error) {
	if err := used.node(); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, bool, float64:
		return v, nil
	case string:
		if len(v) > maxText {
			return nil, nil
		}
		return v, used.keep(len(v))
	case []byte:
		if len(v) > maxText {
			return nil, nil
		}
		return v, used.keep(len(v))
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case time.Time:
		return float64(v.UnixMicro()) / 1e6, nil
	case big.Int:
		return json.Number(v.String()), nil
	case cbor.Tag:
		return plain(v.Content, used)
	case []any:
		for i := range v {
			var err error
			if v[i], err = plain(v[i], used); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[string]any:
		for name := range v {
			if err := used.keep(len(name)); err != nil {
				return nil, err
			}
			var err error
			if v[name], err = plain(v[name], used); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	return nil, ErrForm
}
