// Package fuzz gives every fuzz target a life outside `go test -fuzz`: a plain run of the tests hands each target its seeds and many inputs
// mutated from them, at the price of the parser alone, and holds its allocations against the input's length. It is for tests only.
//
//	func FuzzHeader(g *testing.F) {
//		f := fuzz.On(g)
//		f.Add(seed)
//		f.Fuzz(func(t *testing.T, b []byte) { … })
//	}
//
// The same seeds give the same inputs. DITTOFS_FUZZ says how many a target gets. One that fails is written to testdata/fuzz/NAME, where
// every later run of the tests begins with it. No locks.
package fuzz

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
)

// few is how many inputs a target gets where nobody asks for more.
const few = 200

// F is a testing.F whose Fuzz does more than run the seeds.
type F struct {
	*testing.F
	inputs  int // for the whole target
	seeds   int
	ran     int
	bounded bool
	fixed   uint64     // bytes that any input may cost
	factor  uint64     // bytes that each byte of input may cost
	pool    [][]byte   // what arrived in earlier seeds, to splice from
	rand    *rand.Rand // of the seed at hand
}

// On takes a target over.
func On(f *testing.F) *F {
	n := few
	if s := os.Getenv("DITTOFS_FUZZ"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			f.Fatal("DITTOFS_FUZZ: ", err)
		}
	}
	return &F{F: f, inputs: n, bounded: true, fixed: 128 << 10, factor: 64}
}

// Costly says that an input of this target is worth n of another's, because it drives more than a parser; its allocations are not the parser's.
func (f *F) Costly(n int) { f.inputs, f.bounded = max(f.inputs/n, 1), false }

// Bound sets what an input may allocate: fixed bytes, and factor for each byte that arrives.
func (f *F) Bound(fixed, factor uint64) { f.fixed, f.factor = fixed, factor }

// Add adds a seed.
func (f *F) Add(args ...any) {
	f.seeds++
	f.F.Add(args...)
}

// Fuzz runs fn, as testing.F does, and on inputs mutated from each seed.
func (f *F) Fuzz(fn any) {
	if earnest() {
		f.F.Fuzz(fn)
		return
	}
	v := reflect.ValueOf(fn)
	share := (f.inputs + f.seeds - 1) / max(f.seeds, 1)
	f.F.Fuzz(reflect.MakeFunc(v.Type(), func(args []reflect.Value) []reflect.Value {
		f.seed(v, args, share)
		return nil
	}).Interface())
	f.Logf("%d inputs", f.ran)
}

// earnest says whether `go test -fuzz` drives the target, which brings mutations of its own.
func earnest() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if g := flag.Lookup(name); g != nil && g.Value.String() != "" && g.Value.String() != "false" {
			return true
		}
	}
	return false
}

// seed runs fn on a seed and on its share of inputs.
func (f *F) seed(fn reflect.Value, args []reflect.Value, share int) {
	t, seed := args[0].Interface().(*testing.T), args[1:]
	text := encode(seed)
	sum := sha256.Sum256([]byte(f.Name() + text))
	f.rand = rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
	for _, a := range seed {
		if b, ok := raw(a); ok {
			f.pool = append(f.pool, b)
		}
	}
	in, well := args, false
	defer func() { // a panic and a Fatal of fn pass here too
		if !well || t.Failed() {
			f.keep(t, in[1:])
		}
	}()
	for i := 0; i <= share && !t.Failed(); i++ {
		if i > 0 {
			in = append([]reflect.Value{args[0]}, f.mutate(seed)...)
		}
		f.ran++
		f.run(t, fn, in)
	}
	well = true
}

// run hands fn an input and looks at what it allocates. The runtime counts small objects when their span is full, and other goroutines
// allocate too: only what comes back each time is the parser's.
func (f *F) run(t *testing.T, fn reflect.Value, in []reflect.Value) {
	if !f.bounded {
		fn.Call(in)
		return
	}
	length := uint64(0)
	for _, a := range in[1:] {
		if b, ok := raw(a); ok {
			length += uint64(len(b))
		}
	}
	limit, least := f.fixed+f.factor*length, uint64(0)
	for range 4 {
		before := allocated()
		fn.Call(in)
		if least = allocated() - before; least <= limit {
			return
		}
	}
	t.Errorf("%d bytes of input cost %d bytes of memory, more than %d", length, least, limit)
}

var sample = []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}

func allocated() uint64 {
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// keep writes an input that failed as a seed.
func (f *F) keep(t *testing.T, args []reflect.Value) {
	text := encode(args)
	path := filepath.Join("testdata", "fuzz", f.Name(), fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:16])
	if _, err := os.Stat(path); err == nil {
		return // it came from there
	}
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Log(err)
	}
	t.Logf("the input that failed, now in %s:\n%s", path, text)
}

// encode writes arguments as `go test -fuzz` keeps them.
func encode(args []reflect.Value) string {
	var b strings.Builder
	b.WriteString("go test fuzz v1\n")
	for _, a := range args {
		if v, ok := raw(a); ok {
			fmt.Fprintf(&b, "%s(%q)\n", strings.Replace(a.Type().String(), "uint8", "byte", 1), v)
			continue
		}
		fmt.Fprintf(&b, "%v(%v)\n", a.Type(), a)
	}
	return b.String()
}

// raw is an argument of bytes as such.
func raw(a reflect.Value) ([]byte, bool) {
	switch a.Kind() {
	case reflect.String:
		return []byte(a.String()), true
	case reflect.Slice:
		return a.Bytes(), true
	}
	return nil, false
}
