// Package vectors reads clients/vectors.json as prepared for a run (HERALD_VECTORS), and holds calls to it.
package vectors

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	herald "example.org/herald/clients/go"
)

// Object is one of JSON.
type Object = map[string]any

// Vectors are those over HTTP, and those by SQL.
type Vectors struct{ HTTP, SQL []Vector }

// Vector is a series of calls.
type Vector struct {
	Name     string
	Key      string
	Stub     []any
	Patience struct{ Deadline, Attempt float64 }
	Steps    []Step
}

// Step is a call and what is expected of it; one by SQL may look by HTTP instead.
type Step struct {
	Call, Look    string
	With          Object
	Answer, Error any
	Save          string
	AtLeast       float64 `json:"at_least"`
	AtMost        float64 `json:"at_most"`
}

// Read reads them all.
func Read(t *testing.T) (found Vectors) {
	text, err := os.ReadFile(os.Getenv("HERALD_VECTORS"))
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Run makes the calls, one after the other.
func Run(t *testing.T, one Vector, call func(step Step, saved Object) (any, error)) {
	saved := Object{}
	for _, step := range one.Steps {
		began := time.Now()
		answer, err := call(step, saved)
		took := time.Since(began)
		found := outcome(t, answer, err)
		wanted := Object{"answer": step.Answer}
		if step.Error != nil {
			wanted = Object{"error": step.Error}
		}
		if !fits(found, Filled(wanted, saved)) {
			t.Fatalf("%s gave %v, not %v", step.Call, found, Filled(wanted, saved))
		}
		if took < Seconds(step.AtLeast) || step.AtMost > 0 && took > Seconds(step.AtMost) {
			t.Fatalf("%s took %v", step.Call, took)
		}
		if step.Save != "" {
			saved[step.Save] = found["answer"]
		}
	}
}

// outcome is what a call gave, as the vectors write it.
func outcome(t *testing.T, answer any, err error) Object {
	if err == nil {
		var plain any
		Convert(t, answer, &plain)
		return Object{"answer": plain}
	}
	var failure *herald.Error
	if !errors.As(err, &failure) {
		t.Fatalf("%T %v", err, err)
	}
	fields := []any{}
	for _, one := range failure.Fields {
		fields = append(fields, one.Field)
	}
	return Object{"error": Object{
		"code": string(failure.Code), "status": float64(failure.Status), "title": failure.Title,
		"fields": fields, "idempotency_key": failure.IdempotencyKey,
	}}
}

var savedValue = regexp.MustCompile(`\$\w+(\.\w+)*`)

// Filled has what earlier steps saved in the place of $name.path.
func Filled(given any, saved Object) any {
	switch given := given.(type) {
	case string:
		return savedValue.ReplaceAllStringFunc(given, func(path string) string {
			var at any = saved
			for _, name := range strings.Split(path[1:], ".") {
				if list, isList := at.([]any); isList {
					index, _ := strconv.Atoi(name)
					at = list[index]
				} else {
					at = at.(Object)[name]
				}
			}
			return at.(string)
		})
	case []any:
		list := []any{}
		for _, value := range given {
			list = append(list, Filled(value, saved))
		}
		return list
	case Object:
		made := Object{}
		for name, value := range given {
			made[name] = Filled(value, saved)
		}
		return made
	}
	return given
}

// fits: an object may have more than is wanted, a list may not; "*" is anything but null.
func fits(found, wanted any) bool {
	switch wanted := wanted.(type) {
	case Object:
		found, isObject := found.(Object)
		for name, value := range wanted {
			if !isObject || !fits(found[name], value) {
				return false
			}
		}
		return isObject
	case []any:
		found, isList := found.([]any)
		for index, value := range wanted {
			if !isList || len(found) != len(wanted) || !fits(found[index], value) {
				return false
			}
		}
		return isList && len(found) == len(wanted)
	case string:
		if wanted == "*" {
			return found != nil
		}
	}
	return reflect.DeepEqual(found, wanted)
}

// Convert goes by JSON.
func Convert(t *testing.T, from, into any) {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Seconds as a Duration.
func Seconds(given float64) time.Duration { return time.Duration(given * float64(time.Second)) }
