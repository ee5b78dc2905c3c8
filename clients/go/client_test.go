package herald_test

import (
	"testing"

	herald "example.org/herald/clients/go"
)

func TestAURLWithoutSchemeOrHostIsRefusedAtOnce(t *testing.T) {
	for _, url := range []string{"", "localhost:8000", "localhost", "ftp://localhost", "http://"} {
		_, err := (&herald.Client{URL: url}).Message(t.Context(), "1")
		if herald.CodeOf(err) != herald.Refused {
			t.Errorf("%q gave %v", url, err)
		}
	}
}
