package fuzz

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var sink []byte

// FuzzParser is right, or wrong in the way that DITTOFS_FUZZ_WRONG says, for TestWrong.
func FuzzParser(g *testing.F) {
	f := On(g)
	wrong := os.Getenv("DITTOFS_FUZZ_WRONG")
	f.Add([]byte{0, 0, 0, 2, 'a', 'b'}, "name", true, uint16(3), int64(-1))
	f.Add([]byte{0, 0, 0, 1, 'c'}, "", false, uint16(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, s string, yes bool, u uint16, i int64) {
		if len(b) < 4 {
			return
		}
		n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		switch {
		case wrong == "trusts" && n < 1<<28:
			sink = make([]byte, n)
		case wrong == "panics" && n > len(b)-4:
			_ = b[4 : 4+n][n-1]
		case wrong == "fails" && n > len(b)-4:
			t.Fatal("too long")
		}
	})
}

// What fails is found from two good seeds, and lies where the next run begins with it.
func TestWrong(t *testing.T) {
	for how, says := range map[string]string{"": "PASS", "trusts": "bytes of memory", "panics": "out of range", "fails": "too long"} {
		dir := t.TempDir()
		run := func(inputs string) string {
			c := exec.Command(os.Args[0], "-test.run=^FuzzParser$", "-test.v")
			c.Dir, c.Env = dir, append(os.Environ(), "DITTOFS_FUZZ="+inputs, "DITTOFS_FUZZ_WRONG="+how)
			out, err := c.CombinedOutput()
			if (err != nil) != (how != "") || !bytes.Contains(out, []byte(says)) {
				t.Errorf("%q: %v\n%s", how, err, out)
			}
			return string(out)
		}
		out := run("2000")
		kept, _ := filepath.Glob(filepath.Join(dir, "testdata/fuzz/FuzzParser/*"))
		if how == "" {
			if len(kept) != 0 || !strings.Contains(out, "2002 inputs") {
				t.Errorf("%d kept\n%s", len(kept), out)
			}
			continue
		}
		for _, k := range kept {
			if !strings.Contains(out, filepath.Base(k)) {
				t.Errorf("%q: nothing was said of %s\n%s", how, k, out)
			}
		}
		if len(kept) == 0 {
			t.Errorf("%q: nothing kept\n%s", how, out)
		}
		run("0") // by what was kept alone
	}
}
