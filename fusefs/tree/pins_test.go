package tree

import (
	"os"
	"strconv"
	"sync"
	"testing"
)

// Who opens a file that others replace all the time gets one of theirs, never an error. What they replace it by was not open in the mount:
// else it would stay open for a while.
func TestOpenWhileReplaced(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("whole"), 0o644))
	enough := make(chan struct{})
	var others sync.WaitGroup
	for i := range 3 {
		name := strconv.Itoa(i)
		others.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				if err := os.WriteFile(m.under(name), []byte("whole"), 0o644); err != nil {
					t.Error(err)
				}
				if err := os.Rename(m.at(name), m.at("f")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const opens = 3000
	got := map[string]int{}
	for range opens {
		if b, err := os.ReadFile(m.at("f")); err != nil {
			got[err.Error()]++
		} else {
			got[string(b)]++
		}
	}
	close(enough)
	others.Wait()
	if got["whole"] != opens {
		t.Errorf("opens found %v", got)
	}
}
