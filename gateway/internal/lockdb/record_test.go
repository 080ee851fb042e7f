package lockdb

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/lock"
)

// fill gives every field of v a value of its own, so that a field that a record forgets shows.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n), 5).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.SetBytes([]byte{byte(*n), 0, 0xff})
	case reflect.String:
		v.SetString("\xff" + strings.Repeat("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Pointer: // Request.By: of one asking
	default:
		panic(v.Kind())
	}
}

// No field is lost on the way to the disk and back.
func TestRecordsKeepEveryField(t *testing.T) {
	n := 0
	var r Range
	fill(reflect.ValueOf(&r).Elem(), &n)
	var o Open
	fill(reflect.ValueOf(&o).Elem(), &n)
	var h Host
	fill(reflect.ValueOf(&h).Elem(), &n)
	o.Request.Ticket, o.Request.Reclaim = 0, false // of one asking

	read := reading{ledger: newLedger()}
	for _, op := range []Op{{Range: &r}, {Open: &o}, {Host: &h}} {
		kv := op.kv()
		if err := read.take(kv.Key, kv.Value); err != nil {
			t.Error(err)
		}
	}
	want := Start{Ranges: []Range{r}, Opens: []Open{o}, Hosts: []Host{h}}
	if !reflect.DeepEqual(read.start, want) {
		t.Errorf("\n got %+v\nwant %+v", read.start, want)
	}
	zero := reading{ledger: newLedger()}
	for _, op := range []Op{{Range: &Range{}}, {Open: &Open{}}, {Host: &Host{}}} {
		kv := op.kv()
		if err := zero.take(kv.Key, kv.Value); err != nil {
			t.Error(err)
		}
	}
	if want := (Start{Ranges: []Range{{}}, Opens: []Open{{}}, Hosts: []Host{{}}}); !reflect.DeepEqual(zero.start, want) {
		t.Errorf("\n got %+v\nwant %+v", zero.start, want)
	}
}

// A record's key is what makes it this record: everything that its type's comment names.
func TestKeys(t *testing.T) {
	o := lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host"}, PID: 7, OH: "oh"}
	base := Range{Key: lock.Key{FSID: 1, Ino: 2, Gen: 3}, Owner: o, Offset: 10, Length: 5}
	changed := func(f func(*Range)) Range { r := base; f(&r); return r }
	different := []Range{base,
		changed(func(r *Range) { r.Key.Gen++ }), changed(func(r *Range) { r.Owner.PID++ }), changed(func(r *Range) { r.Owner.OH = "o" }),
		changed(func(r *Range) { r.Owner.Client.Name = "hosto"; r.Owner.OH = "h" }), changed(func(r *Range) { r.Owner.Client.Door = lock.SMB }),
		changed(func(r *Range) { r.Owner.Client.GUID[15] = 1 }), changed(func(r *Range) { r.Owner.Session = 1 }), changed(func(r *Range) { r.Owner.Handle = 1 }),
		changed(func(r *Range) { r.Open = 1 }), changed(func(r *Range) { r.Offset++ }), changed(func(r *Range) { r.Length++ }),
		changed(func(r *Range) { r.Exclusive = true })}
	seen := map[string]int{}
	for i := range different {
		k := string(rangeKey(&different[i]))
		if at, twice := seen[k]; twice {
			t.Errorf("%d and %d have one key", i, at)
		}
		seen[k] = i
	}
	same := changed(func(r *Range) { r.Path, r.User, r.Since = "p", "u", time.Unix(1, 1) })
	if !bytes.Equal(rangeKey(&same), rangeKey(&base)) {
		t.Error("what is for people is part of the key")
	}
}

func TestValue(t *testing.T) {
	kv := Op{Host: &Host{Name: "pc", Address: "10.0.0.1", State: 3}}.kv()
	const want = "01 68 adf8c2a9" + // schema, kind, CRC-32C
		"0a02 7063" + "1208 31302e302e302e31" + "1803" // name, address, state
	if got := hex.EncodeToString(kv.Value); got != strings.ReplaceAll(want, " ", "") || string(kv.Key) != "hpc" {
		t.Errorf("%q = %s, want %s", kv.Key, got, want)
	}
	for i := range kv.Value {
		kv.Value[i] ^= 0x10
		if err := unseal(kv.Key, kv.Value, &HostRecord{}); err == nil {
			t.Errorf("byte %d may change", i)
		}
		kv.Value[i] ^= 0x10
		if err := unseal(kv.Key, kv.Value[:i], &HostRecord{}); err == nil {
			t.Errorf("%d bytes are enough", i)
		}
	}
	if err := unseal([]byte("hpd"), kv.Value, &HostRecord{}); err == nil {
		t.Error("it counts under another key")
	}
}

// What is for people is cut, and what a client cannot send is a fault of the program.
func TestBounds(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	kv := Op{Range: &Range{Path: long, User: long}}.kv()
	if len(kv.Value) > 2*maxPeople+100 {
		t.Errorf("%d bytes", len(kv.Value))
	}
	defer func() {
		if recover() == nil {
			t.Error("an owner's name without bounds is taken")
		}
	}()
	Op{Range: &Range{Owner: lock.Owner{OH: long}}}.kv()
}

func TestNextNSM(t *testing.T) {
	for n, want := range map[int32]int32{0: 1, 1: 3, 2: 3, 3: 5, 1<<31 - 3: 1<<31 - 1, 1<<31 - 2: 1, 1<<31 - 1: 1, -4: 1} {
		if got := nextNSM(n); got != want {
			t.Errorf("after %d comes %d, want %d", n, got, want)
		}
	}
}

func FuzzRecord(g *testing.F) {
	f := fuzz.On(g)
	for _, op := range []Op{{Range: &Range{Path: "p"}}, {Open: &Open{Epoch: 1}}, {Host: &Host{Name: "h"}}} {
		kv := op.kv()
		f.Add(kv.Key, kv.Value[headerSize:])
	}
	f.Fuzz(func(t *testing.T, key, body []byte) {
		r := reading{ledger: newLedger()}
		r.take(key, body)
		if len(key) == 0 {
			return
		}
		// With a checksum that is right, too.
		v := append([]byte{schema, key[0], 0, 0, 0, 0}, body...)
		c := checksum(key, v)
		v[2], v[3], v[4], v[5] = byte(c), byte(c>>8), byte(c>>16), byte(c>>24)
		r.take(key, v)
	})
}

func FuzzReadLog(g *testing.F) {
	f := fuzz.On(g)
	b := appendBatch(nil, logged{7, []KV{{[]byte("p"), []byte("1")}, {Key: []byte("q")}}})
	f.Add(b)
	f.Add(appendBatch(b, logged{8, []KV{{[]byte("q"), nil}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		// What is read is what would be written.
		var again []byte
		for _, e := range readLog(b) {
			again = appendBatch(again, e)
		}
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%x was read, and is written as %x", b, again)
		}
	})
}
