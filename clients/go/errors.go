package herald

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Code is what programs decide by; people read the text.
type Code string

// The codes there are.
const (
	Refused     Code = "refused"      // the request is wrong; Fields says where
	NotFound    Code = "not_found"    // nothing has this id, or is at this path
	Conflict    Code = "conflict"     // the state does not allow it, or the same key is still being handled
	KeyReused   Code = "key_reused"   // the Idempotency-Key belongs to another request
	Unavailable Code = "unavailable"  // Herald cannot do it now, and could not before the deadline
	ServerError Code = "server_error" // an error of Herald's own, or an answer that is not Herald's
	NoAnswer    Code = "no_answer"    // the connection failed or the deadline passed: whether it was accepted is not known
)

// FieldError says what is wrong with one field: a path such as items[3].content, or a parameter's name.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error is what every call fails with. Under IdempotencyKey the same call can be made again, and is accepted once.
// Without an answer Status is 0.
type Error struct {
	Code           Code
	Status         int
	Title, Detail  string
	Fields         []FieldError
	IdempotencyKey string
	cause          error
}

func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%s: %s", e.Code, e.Detail)
	}
	return fmt.Sprintf("%s: %d %s: %s", e.Code, e.Status, e.Title, e.Detail)
}

func (e *Error) Unwrap() error { return e.cause }

// CodeOf is the code of an error of this package, and empty for any other.
func CodeOf(err error) Code {
	var found *Error
	if errors.As(err, &found) {
		return found.Code
	}
	return ""
}

func isUnavailable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// problem is what an answer says that is no success; one without a problem's body is told by its status.
func problem(status int, body []byte, key string) *Error {
	var given struct {
		Title, Detail string
		Errors        []FieldError
	}
	if json.Unmarshal(body, &given) != nil || given.Title == "" {
		given.Title, given.Detail, given.Errors = "", shortened(body), nil
	}
	code := codeOf(status, given.Errors)
	return &Error{code, status, given.Title, given.Detail, given.Errors, key, nil}
}

func codeOf(status int, fields []FieldError) Code {
	switch {
	case isUnavailable(status):
		return Unavailable
	case status == http.StatusUnprocessableEntity && slices.ContainsFunc(fields, isKey):
		return KeyReused
	case status == http.StatusNotFound:
		return NotFound
	case status == http.StatusConflict:
		return Conflict
	case status >= 400 && status < 500:
		return Refused
	}
	return ServerError
}

// isKey: Idempotency-Key over HTTP, options.idempotency_key by SQL.
func isKey(one FieldError) bool {
	return strings.HasSuffix(strings.ReplaceAll(strings.ToLower(one.Field), "-", "_"), "idempotency_key")
}

// notHeralds is a success whose body is not what Herald answers.
func notHeralds(status int, body []byte, key string, cause error) *Error {
	detail := "the answer is not Herald's: " + shortened(body)
	return &Error{ServerError, status, "Unexpected", detail, nil, key, cause}
}

func shortened(body []byte) string {
	return string(body[:min(len(body), 200)])
}
