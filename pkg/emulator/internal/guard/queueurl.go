package guard

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// Some emulators write an address of their own into the URL of a queue, whatever host
// they were asked by. Clients that use the URL as their endpoint, as the AWS SDK for
// JavaScript does, would then pass the guard by, or reach nothing: a queue's URL has the
// host by which the client knows the guard. The URLs that clients send are left as they
// are, since backends look at the path alone.

// namesQueues are the operations of SQS whose answers hold URLs of queues.
var namesQueues = map[string]bool{
	"CreateQueue": true, "GetQueueUrl": true, "ListQueues": true, "ListDeadLetterSourceQueues": true,
}

// queueURL is the URL of a queue in an answer of the protocols AWS JSON and Query, alone
// or in a list: no URL holds a quotation mark or a bracket.
var queueURL = regexp.MustCompile(`((?:"|<QueueUrl>))(https?:[^"<>\s]+)((?:"|</QueueUrl>))`)

// hasQueueURLs reports whether the answer to a call holds URLs of queues.
func hasQueueURLs(c *api.Call) bool { return c.Service == "sqs" && namesQueues[c.Operation] }

// ownQueueURLs has the URLs of queues in an answer name the host of the request.
func ownQueueURLs(c *api.Call, answer *http.Response) error {
	if !hasQueueURLs(c) || answer.StatusCode >= 300 {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxHeld+1))
	answer.Body.Close()
	if err != nil {
		return err
	}
	if len(text) > maxHeld {
		return fmt.Errorf("the answer to %s has more than %d bytes", c.Operation, maxHeld)
	}
	own := queueURL.ReplaceAllFunc(text, func(found []byte) []byte { return ownQueueURL(c.Request, found) })
	if !bytes.Equal(own, text) {
		answer.Header.Del("X-Amz-Crc32") // it is of the other
	}
	text = own
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// ownQueueURL is one URL with what is around it.
func ownQueueURL(r *http.Request, found []byte) []byte {
	part := queueURL.FindSubmatch(found)
	u, err := url.Parse(string(part[2]))
	if err != nil || u.Host == r.Host {
		return found
	}
	u.Scheme, u.Host = "http", r.Host
	if r.TLS != nil {
		u.Scheme = "https"
	}
	var escaped bytes.Buffer
	if string(part[1]) == `"` {
		escaped.WriteString(u.String()) // which has no character that JSON escapes
	} else if err := xml.EscapeText(&escaped, []byte(u.String())); err != nil {
		return found
	}
	return bytes.Join([][]byte{part[1], escaped.Bytes(), part[3]}, nil)
}
