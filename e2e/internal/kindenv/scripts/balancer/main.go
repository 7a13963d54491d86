// Envoy, as far as kind needs it in front of several API servers: "envoy -c FILE" listens where lds.yaml beside FILE
// says and carries connections to the servers of cds.yaml in turn, leaving out those that are not healthy. Both files
// are read again and again: kind writes them when the container runs already.
//
// What is read of them is the lines "address:" and "port_value:" that kind's templates have
// (pkg/cluster/internal/loadbalancer/config.go).
package main

import (
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func main() {
	config := flag.String("c", "", "envoy.yaml")
	flag.Parse()
	dir := filepath.Dir(*config)
	b := &balancer{healthy: map[string]bool{}}
	listening := ""
	for ; ; time.Sleep(500 * time.Millisecond) {
		b.check(addresses(filepath.Join(dir, "cds.yaml")))
		at := addresses(filepath.Join(dir, "lds.yaml"))
		if len(at) != 1 || at[0] == listening {
			continue
		}
		l, err := net.Listen("tcp", at[0])
		if err != nil {
			log.Print(err)
			continue
		}
		listening = at[0]
		go b.serve(l)
	}
}

// addresses are the socket addresses of a file, in their order.
func addresses(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var list []string
	host := ""
	for line := range strings.SplitSeq(string(b), "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch {
		case name == "address" && value != "":
			host = value
		case name == "port_value" && host != "":
			list, host = append(list, net.JoinHostPort(host, value)), ""
		}
	}
	return list
}

type balancer struct {
	mu      sync.Mutex
	servers []string
	healthy map[string]bool
	next    int
}

var prober = http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
}

// check asks the servers how they are, all at once.
func (b *balancer) check(servers []string) {
	healthy := map[string]bool{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, s := range servers {
		wg.Go(func() {
			resp, err := prober.Get("https://" + s + "/healthz")
			if err != nil {
				return
			}
			resp.Body.Close()
			mu.Lock()
			healthy[s] = resp.StatusCode == http.StatusOK
			mu.Unlock()
		})
	}
	wg.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers, b.healthy = servers, healthy
}

// candidates are the servers in the order in which to try them: the healthy ones in turn, then the others.
func (b *balancer) candidates() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var good, bad []string
	b.next++
	for i := range b.servers {
		s := b.servers[(i+b.next)%len(b.servers)]
		if b.healthy[s] {
			good = append(good, s)
		} else {
			bad = append(bad, s)
		}
	}
	return append(good, bad...)
}

func (b *balancer) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err) // kind's shell starts us again
		}
		go b.carry(c)
	}
}

func (b *balancer) carry(c net.Conn) {
	defer c.Close()
	for _, s := range b.candidates() {
		to, err := net.DialTimeout("tcp", s, 250*time.Millisecond)
		if err != nil {
			continue
		}
		defer to.Close()
		done := make(chan struct{}, 2)
		for _, pair := range [][2]net.Conn{{c, to}, {to, c}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].(*net.TCPConn).CloseWrite()
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		return
	}
}
