package rpc

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"dittofs/smbd/dtyp"
	"dittofs/smbd/wire"
)

// people is alice, who is 1000, and the group staff, which is 50.
type people struct{}

func (people) User(uid uint32) (string, bool)         { return "alice", uid == 1000 }
func (people) UserByName(name string) (uint32, bool)  { return 1000, name == "alice" }
func (people) Group(gid uint32) (string, bool)        { return "staff", gid == 50 }
func (people) GroupByName(name string) (uint32, bool) { return 50, name == "staff" }
func (people) Users() []NamedID                       { return []NamedID{{"alice", 1000}, {"bob", 1001}} }

func boundTo(t testing.TB, name string) *Pipe {
	t.Helper()
	p := bound(t, name)
	p.info.Names = people{}
	return p
}

func lookupSIDs(h handle, sids ...dtyp.SID) []byte {
	w := writer{b: bytes.Clone(h[:])}
	w.uint32(uint32(len(sids)))
	w.array(len(sids), func(i int) { w.sid(sids[i]) })
	w.flush()
	w.uint32(0)
	w.null()
	w.b = append(w.b, 1, 0)
	w.uint32(0)
	return w.b
}

func lookupNames(h handle, names ...string) []byte {
	w := writer{b: bytes.Clone(h[:])}
	w.uint32(uint32(len(names)))
	w.uint32(uint32(len(names)))
	for _, n := range names {
		w.unicode(n)
	}
	w.flush()
	w.uint32(0)
	w.null()
	w.b = append(w.b, 1, 0)
	w.uint32(0)
	return w.b
}

// answered reads an answer.
func answered(t testing.TB, p *Pipe, opnum uint16, in []byte) *reader {
	t.Helper()
	out, st := ask(t, p, opnum, in)
	if st != ok {
		t.Fatalf("operation %d: fault %x", opnum, st)
	}
	return &reader{Cursor: wire.Reader(out)}
}

func opened(t testing.TB, p *Pipe, opnum uint16, in []byte) handle {
	t.Helper()
	r := answered(t, p, opnum, in)
	h := r.handle()
	if st := r.uint32(); st != statusSuccess {
		t.Fatalf("no handle: %x", st)
	}
	return h
}

func TestLookupSids(t *testing.T) {
	p := boundTo(t, "lsarpc")
	h := opened(t, p, 44, nil)
	sids := []dtyp.SID{dtyp.UnixUser(1000), dtyp.UnixGroup(50), dtyp.Everyone, dtyp.UnixUser(7), dtyp.Administrators}
	r := answered(t, p, 15, lookupSIDs(h, sids...))
	r.pointer()
	n := r.uint32()
	r.pointer()
	r.uint32() // MaxEntries
	r.uint32()
	for range n {
		r.uint32()
		r.pointer()
		r.pointer()
	}
	var domains []string
	for range n {
		domains = append(domains, r.text()+" "+r.sid().String())
	}
	if want := []string{"FILES S-1-22-1", "Unix Group S-1-22-2", " S-1-1", "BUILTIN S-1-5-32"}; !slices.Equal(domains, want) {
		t.Errorf("domains %q, want %q", domains, want)
	}
	count := r.uint32()
	r.pointer()
	r.uint32()
	var uses, index []uint32
	for range count {
		uses = append(uses, r.uint32())
		r.uint32()
		r.pointer()
		index = append(index, r.uint32())
	}
	var names []string
	for range count {
		names = append(names, r.text())
	}
	if !slices.Equal(uses, []uint32{1, 2, 5, 8, 4}) || !slices.Equal(index, []uint32{0, 1, 2, noDomain, 3}) ||
		!slices.Equal(names, []string{"alice", "staff", "Everyone", "S-1-22-1-7", "Administrators"}) {
		t.Errorf("%v %v %q", uses, index, names)
	}
	if mapped, st := r.uint32(), r.uint32(); mapped != 4 || st != statusSomeNotMapped || r.Len() != 0 || r.End() != nil {
		t.Errorf("%d mapped, status %x, %d bytes more, %v", mapped, st, r.Len(), r.End())
	}
	out, _ := ask(t, p, 15, lookupSIDs(handle{1}, dtyp.Everyone))
	if st := binary.LittleEndian.Uint32(out[len(out)-4:]); st != statusInvalidHandle {
		t.Errorf("another's handle: %x", st)
	}
}

func TestLookupNames(t *testing.T) {
	p := boundTo(t, "lsarpc")
	h := opened(t, p, 6, nil)
	for name, want := range map[string]uint32{"alice": 1000, `FILES\alice`: 1000, `Unix User\alice`: 1000, `unix group\staff`: 50, "staff": 50,
		"everyone": 0, `builtin\users`: 545, "FILES": noDomain, `OTHER\alice`: noDomain, "": noDomain} {
		out, st := ask(t, p, 14, lookupNames(h, name))
		if st != ok {
			t.Fatalf("%q: fault %x", name, st)
		}
		// ..., RelativeId, DomainIndex, MappedCount, status
		if got := binary.LittleEndian.Uint32(out[len(out)-16:]); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
	opened(t, p, 0, h[:])
	out, _ := ask(t, p, 14, lookupNames(h, "alice"))
	if st := binary.LittleEndian.Uint32(out[len(out)-4:]); st != statusInvalidHandle {
		t.Errorf("a closed handle: %x", st)
	}
}

func TestSAMR(t *testing.T) {
	p := boundTo(t, "samr")
	server := opened(t, p, 57, nil)
	w := writer{b: bytes.Clone(server[:])}
	w.uint32(0x200)
	w.uint32(uint32(unixUsers.Count))
	w.b = unixUsers.Append(w.b)
	dom := opened(t, p, 7, w.b)
	enum := func(from, limit int) (next uint32, ids []uint32, st uint32) {
		r := answered(t, p, 13, append(bytes.Clone(dom[:]), stub(from, 0, limit)...))
		next = r.uint32()
		r.pointer()
		n := r.uint32()
		if r.pointer() {
			r.uint32()
		}
		for range n {
			ids = append(ids, r.uint32())
			r.uint32()
			r.pointer()
		}
		for range n {
			r.text()
		}
		r.uint32()
		return next, ids, r.uint32()
	}
	if next, ids, st := enum(0, 1<<16); next != 2 || !slices.Equal(ids, []uint32{1000, 1001}) || st != statusSuccess {
		t.Errorf("all: %d %v %x", next, ids, st)
	}
	if next, ids, st := enum(0, 1); next != 1 || !slices.Equal(ids, []uint32{1000}) || st != statusMoreEntries {
		t.Errorf("first: %d %v %x", next, ids, st)
	}
	if next, ids, st := enum(1, 1); next != 2 || !slices.Equal(ids, []uint32{1001}) || st != statusSuccess {
		t.Errorf("rest: %d %v %x", next, ids, st)
	}
	for range maxHandles {
		ask(t, p, 57, nil)
	}
	out, _ := ask(t, p, 57, nil)
	if st := binary.LittleEndian.Uint32(out[20:]); st != statusNoResources || len(p.handles) != maxHandles {
		t.Errorf("handle %d: %x", len(p.handles)+1, st)
	}
}
