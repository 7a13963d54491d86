package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/openirsa/openirsa/internal/wait"
)

// dialFor is how long a connection to a forwarded port waits for the API
// server and a ready pod.
const dialFor = time.Minute

// Forward opens a port of this machine through which connections reach a
// Service in the cluster, by way of the API server. The address, such as
// "127.0.0.1:40123", stays the same until stop is called or ctx ends: when the
// API server restarts, or the pod is replaced, connections are broken but the
// next one finds the way again, and waits for it.
//
// Forward returns once the way is known to be open.
func (c *Cluster) Forward(ctx context.Context, namespace, service string, port int) (addr string, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &forwarder{cluster: c, namespace: namespace, service: service, port: port}
	if _, _, err := f.connect(ctx); err != nil {
		cancel()
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		f.drop(nil)
		return "", nil, err
	}
	var running sync.WaitGroup
	context.AfterFunc(ctx, func() {
		listener.Close()
		f.drop(nil)
	})
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				end := context.AfterFunc(ctx, func() { conn.Close() })
				defer end()
				defer conn.Close()
				f.serve(ctx, conn)
			})
		}
	})
	return listener.Addr().String(), func() { cancel(); running.Wait() }, nil
}

// forwarder has one connection through the API server to a pod, which all
// forwarded connections share.
type forwarder struct {
	cluster   *Cluster
	namespace string
	service   string
	port      int

	mu         sync.Mutex
	connection httpstream.Connection // nil: dial
	podPort    int
	requests   int
}

// serve joins a connection of this machine with one to the pod.
func (f *forwarder) serve(ctx context.Context, local net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, dialFor)
	connection, data, said, err := f.open(ctx)
	cancel()
	if err != nil {
		return // the client sees its connection closed, and tries again or gives up
	}
	var both sync.WaitGroup
	var once sync.Once
	end := func() { // whichever side ends first
		once.Do(func() {
			local.Close()
			data.Reset()
			said.Reset()
		})
	}
	both.Go(func() { // a message here means that the pod refused the connection
		b, _ := io.ReadAll(io.LimitReader(said, 4096))
		if len(b) > 0 {
			// The pod's network may be gone for good, with its API
			// connection alive: look for a ready pod next time.
			f.drop(connection)
			end()
		}
	})
	both.Go(func() {
		_, err := io.Copy(data, local)
		data.Close() // half-close: the answer may still come
		if err != nil {
			end()
		}
	})
	io.Copy(local, data)
	end()
	both.Wait()
	connection.RemoveStreams(data, said)
}

// open makes the two streams of one forwarded connection (Kubernetes'
// "portforward.k8s.io" protocol), dialling again for as long as ctx allows.
func (f *forwarder) open(ctx context.Context) (httpstream.Connection, httpstream.Stream, httpstream.Stream, error) {
	for {
		connection, podPort, err := f.connect(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		f.mu.Lock()
		id := f.requests
		f.requests++
		f.mu.Unlock()
		header := http.Header{}
		header.Set(corev1.StreamType, corev1.StreamTypeError)
		header.Set(corev1.PortHeader, strconv.Itoa(podPort))
		header.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(id))
		said, err := createStream(connection, header.Clone())
		if err == nil {
			said.Close() // nothing to say
			header.Set(corev1.StreamType, corev1.StreamTypeData)
			var data httpstream.Stream
			if data, err = createStream(connection, header.Clone()); err == nil {
				return connection, data, said, nil
			}
			connection.RemoveStreams(said)
		}
		f.drop(connection)
		if err := wait.Sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, nil, nil, err
		}
	}
}

// createStream gives up as soon as the connection is known to be lost, and
// early, where httpstream waits for an answer for half a minute.
func createStream(connection httpstream.Connection, header http.Header) (httpstream.Stream, error) {
	type result struct {
		stream httpstream.Stream
		err    error
	}
	created := make(chan result, 1)
	go func() {
		stream, err := connection.CreateStream(header)
		created <- result{stream, err}
	}()
	select {
	case r := <-created:
		return r.stream, r.err
	case <-connection.CloseChan():
		return nil, errors.New("the connection to the API server is lost")
	case <-time.After(5 * time.Second):
		return nil, errors.New("the pod's kubelet does not answer")
	}
}

// drop closes a connection that is no longer of use; nil: whichever it is.
func (f *forwarder) drop(connection httpstream.Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connection != nil && (connection == nil || f.connection == connection) {
		f.connection.Close()
		f.connection = nil
	}
}

// connect is the connection to a ready pod and the port there.
func (f *forwarder) connect(ctx context.Context) (httpstream.Connection, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connection != nil {
		select {
		case <-f.connection.CloseChan():
			f.connection = nil
		default:
			return f.connection, f.podPort, nil
		}
	}
	deadline := time.Now().Add(dialFor)
	for {
		connection, podPort, err := f.dial(ctx)
		if err == nil {
			f.connection, f.podPort = connection, podPort
			return connection, podPort, nil
		}
		if cause := context.Cause(ctx); cause != nil || time.Now().After(deadline) {
			return nil, 0, fmt.Errorf("forwarding to Service %s/%s: %w", f.namespace, f.service, errors.Join(err, cause))
		}
		if err := wait.Sleep(ctx, 300*time.Millisecond); err != nil {
			return nil, 0, fmt.Errorf("forwarding to Service %s/%s: %w", f.namespace, f.service, err)
		}
	}
}

// dial connects to a ready pod of the Service, over a web socket, or SPDY
// where the API server is too old for that (before 1.30).
func (f *forwarder) dial(ctx context.Context) (httpstream.Connection, int, error) {
	pod, podPort, err := f.target(ctx)
	if err != nil {
		return nil, 0, err
	}
	c := f.cluster
	u := c.client.REST().Post().AbsPath("/api/v1").Namespace(f.namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, 0, err
	}
	var dialer httpstream.Dialer = spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	overWebsocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, c.config)
	if err != nil {
		return nil, 0, err
	}
	dialer = portforward.NewFallbackDialerForStreaming(overWebsocket, dialer, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, 0, fmt.Errorf("pod %s: %w", pod, err)
	}
	return connection, podPort, nil
}

// target is a ready pod behind the Service and the port that the Service's
// port means there.
func (f *forwarder) target(ctx context.Context) (pod string, port int, err error) {
	c := f.cluster.client
	service, err := c.Services(f.namespace).Get(ctx, f.service, metav1.GetOptions{})
	if err != nil {
		return "", 0, err
	}
	var target intstr.IntOrString
	for _, p := range service.Spec.Ports {
		if int(p.Port) == f.port {
			target = p.TargetPort
			if target == (intstr.IntOrString{}) {
				target = intstr.FromInt32(p.Port)
			}
		}
	}
	if target == (intstr.IntOrString{}) {
		return "", 0, fmt.Errorf("it has no port %d", f.port)
	}
	if len(service.Spec.Selector) == 0 {
		return "", 0, errors.New("it selects no pods")
	}
	pods, err := c.Pods(f.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(service.Spec.Selector).String(),
		FieldSelector: "status.phase=" + string(corev1.PodRunning),
	})
	if err != nil {
		return "", 0, err
	}
	var unready []string
	for _, p := range pods.Items {
		if !ready(p) {
			unready = append(unready, p.Name)
			continue
		}
		if target.Type == intstr.Int {
			return p.Name, target.IntValue(), nil
		}
		for _, container := range p.Spec.Containers {
			for _, named := range container.Ports {
				if named.Name == target.StrVal {
					return p.Name, int(named.ContainerPort), nil
				}
			}
		}
		return "", 0, fmt.Errorf("pod %s has no port named %s", p.Name, target.StrVal)
	}
	if len(unready) > 0 {
		return "", 0, fmt.Errorf("no pod is ready: %s", strings.Join(unready, ", "))
	}
	return "", 0, errors.New("no pod of it runs")
}

func ready(p corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
