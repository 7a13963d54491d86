package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// manyAccounts is how many service accounts a large cluster has.
const manyAccounts = 10_000

// manyAPI is an API server that has nothing but service accounts, half of them
// with a role, that of the real review among them, unless they are changed. It
// tells of them in the way and the format of real ones, in protobuf, managed fields
// and all: by a watch that begins with the present state, or, if it is old, by
// lists, page by page for whoever asks for pages.
type manyAPI struct {
	number int
	change func(i int, sa *metav1.PartialObjectMetadata)
	old    bool
	pages  atomic.Int32

	object, stream kruntime.Encoder
	framer         kruntime.Framer
}

func manyServiceAccounts(tb testing.TB, number int, change func(i int, sa *metav1.PartialObjectMetadata)) *httptest.Server {
	return (&manyAPI{number: number, change: change}).serve(tb)
}

func (a *manyAPI) serve(tb testing.TB) *httptest.Server {
	tb.Helper()
	s := kruntime.NewScheme()
	if err := metav1.AddMetaToScheme(s); err != nil {
		tb.Fatal(err)
	}
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	codecs := serializer.NewCodecFactory(s)
	info, ok := kruntime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), kruntime.ContentTypeProtobuf)
	if !ok {
		tb.Fatal("no protobuf")
	}
	a.object = codecs.EncoderForVersion(info.Serializer, metav1.SchemeGroupVersion)
	a.stream, a.framer = codecs.EncoderForVersion(info.StreamSerializer.Serializer, schema.GroupVersion{Version: "v1"}), info.StreamSerializer.Framer
	server := httptest.NewServer(a)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

func (a *manyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/api/v1/namespaces/shop/serviceaccounts/orders-api": // get, where the webhook has no room for it
		w.Header().Set("Content-Type", kruntime.ContentTypeProtobuf)
		a.object.Encode(a.account(0), w)
	case r.URL.Path != "/api/v1/serviceaccounts":
		http.NotFound(w, r)
	case q.Get("watch") != "true":
		a.list(w, q)
	case a.old && q.Get("sendInitialEvents") == "true":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		json.NewEncoder(w).Encode(apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil).Status())
	default:
		w.Header().Set("Content-Type", kruntime.ContentTypeProtobuf+";stream=watch")
		if q.Get("sendInitialEvents") == "true" {
			a.initial(w)
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// initial writes the present state as a watch does.
func (a *manyAPI) initial(w io.Writer) {
	events := streaming.NewEncoder(a.framer.NewFrameWriter(w), a.stream)
	send := func(kind string, o *metav1.PartialObjectMetadata) {
		if raw, err := kruntime.Encode(a.object, o); err == nil {
			events.Encode(&metav1.WatchEvent{Type: kind, Object: kruntime.RawExtension{Raw: raw}}) // or the other side has gone
		}
	}
	for i := range a.number {
		send("ADDED", a.account(i))
	}
	send("BOOKMARK", &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: a.version(), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}})
}

func (a *manyAPI) list(w http.ResponseWriter, q url.Values) {
	a.pages.Add(1)
	var from int
	fmt.Sscan(q.Get("continue"), &from)
	to := a.number
	if limit, err := strconv.Atoi(q.Get("limit")); err == nil && limit > 0 && q.Get("resourceVersion") != "0" { // as old ones do
		to = min(to, from+limit)
	}
	page := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: a.version()}}
	for i := from; i < to; i++ {
		page.Items = append(page.Items, *a.account(i))
	}
	if to < a.number {
		page.Continue = strconv.Itoa(to)
	}
	w.Header().Set("Content-Type", kruntime.ContentTypeProtobuf)
	a.object.Encode(page, w)
}

func (a *manyAPI) version() string { return strconv.Itoa(2000 + a.number) }

func (a *manyAPI) account(i int) *metav1.PartialObjectMetadata {
	annotations := map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("{}", 200)}
	if i%2 == 0 {
		annotations["eks.amazonaws.com/role-arn"] = fmt.Sprintf("arn:aws:iam::123456789012:role/production-service-%d", i)
	}
	namespace, name := fmt.Sprintf("namespace-%d", i%200), fmt.Sprintf("service-account-%d", i)
	if i == 0 {
		namespace, name = "shop", "orders-api"
	}
	sa := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name,
		UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)), ResourceVersion: strconv.Itoa(1000 + i),
		Labels:      map[string]string{"app.kubernetes.io/name": fmt.Sprint("app-", i), "app.kubernetes.io/managed-by": "Helm"},
		Annotations: annotations,
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "helm", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:eks.amazonaws.com/role-arn":{}},"f:labels":{".":{},"f:app.kubernetes.io/name":{}}}}`),
		}},
	}}
	if a.change != nil {
		a.change(i, sa)
	}
	return sa
}

// TestDirectoryMemory: what is kept of 10,000 service accounts is a few
// megabytes, a fraction of what there is to know about them.
func TestDirectoryMemory(t *testing.T) {
	client, err := metadata.NewForConfig(&rest.Config{Host: manyServiceAccounts(t, manyAccounts, nil).URL})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	d := &webhook.Directory{Metadata: client}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	for d.Ready() != nil {
		if t.Context().Err() != nil {
			t.Fatal("the directory does not become ready")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(d.Known()); n != manyAccounts/2 {
		t.Fatalf("%d service accounts with a role, want %d", n, manyAccounts/2)
	}
	kept := float64(heap()-before) / (1 << 20)
	t.Logf("%d service accounts take %.1f MiB", manyAccounts, kept)
	const most = 4
	if kept > most {
		t.Errorf("%d service accounts take %.1f MiB, want at most %d", manyAccounts, kept, most)
	}
	runtime.KeepAlive(d)
}

// TestMemory holds the process, as BenchmarkMemory measures it, under what it may have. It
// takes the middle of several lives, since the peak of one depends on when its garbage was
// collected, and two processors, since each has caches of its own.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	needs.Time(t)
	t.Setenv("GOMAXPROCS", "2")
	command := program(t)
	api := manyServiceAccounts(t, manyAccounts, nil)
	var peaks []float64
	for range 5 {
		peak, _ := memoryOfLife(t, append(command, "--kube-api="+api.URL)...)
		peaks = append(peaks, peak)
	}
	slices.Sort(peaks)
	t.Logf("with %d service accounts the process has at most %.1f MiB", manyAccounts, peaks)
	const most = 60 // MiB; docs/webhook.md and docs/measurements.md say how much of it is used
	if middle := peaks[len(peaks)/2]; middle > most {
		t.Errorf("with %d service accounts the process has at most %.1f MiB, and may have %d", manyAccounts, middle, most)
	}
}

// BenchmarkMemory runs the program with 10,000 service accounts in its cluster
// and sends it reviews. It reports the most memory that the process ever had
// (VmHWM, of which a good part is the program itself). An operation is one
// life of the program.
func BenchmarkMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	command := program(b)
	api := manyServiceAccounts(b, manyAccounts, nil)
	var peak, resident float64
	for b.Loop() {
		p, r := memoryOfLife(b, append(command, "--kube-api="+api.URL)...)
		peak, resident = max(peak, p), max(resident, r)
	}
	b.ReportMetric(peak, "peak-MiB")
	b.ReportMetric(resident, "resident-MiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMemoryAssociations is the same with 10,000 pod identity associations besides,
// which are listed every second.
func BenchmarkMemoryAssociations(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	eks := newAssociationsAPI(b)
	eks.add("shop", "orders-api")
	for i := 1; i < manyAccounts; i++ {
		eks.add(fmt.Sprintf("namespace-%d", i%200), fmt.Sprintf("service-account-%d", i))
	}
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": eks.URL, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
	} {
		b.Setenv(name, value)
	}
	command := append(program(b), "--kube-api="+manyServiceAccounts(b, manyAccounts, nil).URL, "--pod-identity-cluster=c1", "--pod-identity-refresh=1s")
	var peak, resident float64
	for b.Loop() {
		p, r := memoryOfLife(b, command...)
		peak, resident = max(peak, p), max(resident, r)
	}
	if eks.lists.Load() == 0 {
		b.Error("the associations were not listed")
	}
	b.ReportMetric(peak, "peak-MiB")
	b.ReportMetric(resident, "resident-MiB")
	b.ReportMetric(0, "ns/op")
}

// TestAssociationsMemory: 10,000 associations take little, and listing them again no
// more.
func TestAssociationsMemory(t *testing.T) {
	eks := newAssociationsAPI(t)
	for i := range manyAccounts {
		eks.add(fmt.Sprintf("namespace-%d", i%200), fmt.Sprintf("service-account-%d", i))
	}
	heap := func() float64 {
		var m runtime.MemStats
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	a := &webhook.Associations{List: eks.client(t).List, Refresh: 50 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	eventually(t, "the associations are known", func() bool { return a.Number() == manyAccounts && eks.lists.Load() > 2 })
	cancel()
	<-done
	kept := heap() - before
	t.Logf("%d associations take %.1f MiB", manyAccounts, kept)
	const most = 2.5
	if kept > most {
		t.Errorf("%d associations take %.1f MiB, want at most %.1f", manyAccounts, kept, most)
	}
	runtime.KeepAlive(a)
}

// program builds the program of the container image, which is the webhook by its name.
// It returns how to run it with a certificate.
func program(tb testing.TB) []string {
	tb.Helper()
	dir := tb.TempDir()
	program := filepath.Join(dir, "webhook")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=grpcnotrace", "-o", program, "../../cmd/openirsa")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("building the program: %v: %s", err, out)
	}
	pair := selfSigned(tb)
	key, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		tb.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "EC PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return []string{program, "--in-cluster=false", "--tls-cert=" + certFile, "--tls-key=" + keyFile, "--port=0", "--metrics-port=0", "--shutdown-delay=0s"}
}

// running is a program that runs until its test ends.
type running struct {
	cmd              *exec.Cmd
	webhook, metrics string        // addresses
	log              *bytes.Buffer // once it has ended
	ended            chan struct{}
}

// start runs the program and waits until it is ready.
func start(tb testing.TB, command ...string) *running {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	p := &running{cmd: exec.Command(command[0], command[1:]...), log: new(bytes.Buffer), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "GOGC=") // pods do not have the tests'
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	addresses := make(chan string, 2)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(p.log, lines.Text())
			if _, rest, ok := strings.Cut(lines.Text(), "msg=listening address="); ok {
				_, port, _ := strings.Cut(rest, "]:")
				addresses <- port
			}
		}
		p.cmd.Wait()
	}()
	tb.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(15 * time.Second):
			p.cmd.Process.Kill()
			<-p.ended
		}
		if tb.Failed() {
			text := p.log.String()
			tb.Logf("the program's last words: %s", text[max(0, len(text)-3000):])
		}
	})
	for p.webhook == "" || p.metrics == "" {
		select {
		case a := <-addresses:
			port, secure, _ := strings.Cut(a, " tls=")
			if secure == "true" {
				p.webhook = "127.0.0.1:" + port
			} else {
				p.metrics = "127.0.0.1:" + port
			}
		case <-p.ended:
			tb.Fatalf("the program ends: %s", p.log)
		case <-ctx.Done():
			tb.Fatal("the program does not listen")
		}
	}
	for ready := false; !ready; time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			tb.Fatal("the program does not become ready")
		}
		if resp, err := http.Get("http://" + p.metrics + "/readyz"); err == nil {
			resp.Body.Close()
			ready = resp.StatusCode == http.StatusOK
		}
	}
	return p
}

// memoryOfLife runs the program until it is ready, sends it reviews on 16
// connections, and ends it. It returns the most memory that the process had,
// and the memory that it had last, in MiB.
func memoryOfLife(tb testing.TB, command ...string) (peak, resident float64) {
	tb.Helper()
	p := start(tb, command...)
	defer func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
	}()
	connect(tb, p.webhook, 16, realReview(tb), `"patchType":"JSONPatch"`).run(tb, 200)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		for key, into := range map[string]*float64{"VmHWM:": &peak, "VmRSS:": &resident} {
			if f[0] == key { // proc_pid_status(5): in kB
				kb, err := strconv.ParseFloat(f[1], 64)
				if err != nil {
					tb.Fatal(err)
				}
				*into = kb / 1024
			}
		}
	}
	return peak, resident
}
