package association

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds an answer, in bytes. A page of a hundred associations has less than
// 70 kB.
const maxAnswer = 1 << 20

// Error is what AWS says instead of an answer.
type Error struct {
	Status        int    // of HTTP
	Code, Message string // such as AccessDeniedException; "" if it says none
}

func (e *Error) Error() string {
	switch {
	case e.Code == "":
		return fmt.Sprintf("it answers %d %s", e.Status, http.StatusText(e.Status))
	case e.Message == "":
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// send sends a request and reads its answer.
func send(client *http.Client, r *http.Request) ([]byte, error) {
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", r.URL.Host, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", r.URL.Host, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, parseError(resp, body)
	}
	return body, nil
}

// parseError reads an error of either kind of service: in JSON, the code in a header
// or in the body (AWS restJson1 protocol, "Operation error serialization"), or in XML
// (AWS Query protocol).
func parseError(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, Code: resp.Header.Get("X-Amzn-Errortype")}
	var inJSON struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var inXML struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if json.Unmarshal(body, &inJSON) == nil {
		for _, code := range []string{inJSON.Code, inJSON.Type} {
			if e.Code == "" {
				e.Code = code
			}
		}
		e.Message = inJSON.Message
	} else if xml.Unmarshal(body, &inXML) == nil && inXML.Code != "" {
		e.Code, e.Message = inXML.Code, inXML.Message
	}
	// "namespace#Code:where it is described"
	e.Code, _, _ = strings.Cut(e.Code, ":")
	if _, code, ok := strings.Cut(e.Code, "#"); ok {
		e.Code = code
	}
	e.Code, e.Message = short(e.Code, 100), short(e.Message, 500)
	return e
}

func short(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
