package ipc

import (
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// fill gives every field in v a value of its own. Pointers in a set of alternatives are left to the caller.
func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(*n)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.String:
		v.SetString(fmt.Sprintf("\xff not UTF-8 %d", *n))
	case reflect.Slice:
		s := reflect.MakeSlice(v.Type(), 2, 2)
		for i := range 2 {
			fill(s.Index(i), n)
		}
		v.Set(s)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(0, int64(*n))))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"nfs": fmt.Sprint("127.0.0.1:", *n)}))
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

func filled[T any]() T {
	var t T
	n := uint64(0)
	fill(reflect.ValueOf(&t).Elem(), &n)
	return t
}

// wire sends a message over it.
func wire[M proto.Message](t *testing.T, m M) M {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out.(M)
}

// trip sends the full and the zero value of T there and back.
func trip[T any, M proto.Message](t *testing.T, to func(T) M, from func(M) T) {
	t.Helper()
	var zero T
	for _, want := range []T{filled[T](), zero} {
		if got := from(wire(t, to(want))); !reflect.DeepEqual(got, want) {
			t.Errorf("%T\n got %+v\nwant %+v", want, got, want)
		}
	}
}

func TestEveryFieldTravels(t *testing.T) {
	trip(t, OpenRequestPB, OpenRequestOf)
	trip(t, OpenResultPB, OpenResultOf)
	trip(t, ReconnectRequestPB, ReconnectRequestOf)
	trip(t, ReconnectResultPB, ReconnectResultOf)
	trip(t, CloseRequestPB, CloseRequestOf)
	trip(t, CloseResultPB, CloseResultOf)
	trip(t, AccessRequestPB, AccessRequestOf)
	trip(t, LockRequestPB, LockRequestOf)
	trip(t, ResultPB, ResultOf)
	trip(t, AckPB, AckOf)
	trip(t, ClientPB, ClientOf)
	trip(t, ChangePB, ChangeOf)
	trip(t, FilterPB, FilterOf)
	trip(t, fileStatePB, fileStateOf)
	trip(t, hostPB, hostOf)
	trip(t, BreakRequestPB, BreakRequestOf)
	trip(t, treeStatePB, treeStateOf)

	// The fields that are proto3 strings are ours, and UTF-8.
	s := filled[Session]()
	s.Dialect = "3.1.1"
	if got := SessionOf(wire(t, SessionPB(s))); !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v\nwant %+v", got, s)
	}
	d := filled[lock.Denial]()
	d.Limit = "ranges"
	if got := denialOf(wire(t, denialPB(d))); !reflect.DeepEqual(got, d) {
		t.Errorf("got %+v\nwant %+v", got, d)
	}
	st := filled[Status]()
	st.Version = "0.1.0"
	for i := range st.Daemons {
		st.Daemons[i].Name = "lockd"
	}
	if got := StatusOf(wire(t, StatusPB(st))); !reflect.DeepEqual(got, st) {
		t.Errorf("got %+v\nwant %+v", got, st)
	}
}

func TestEveryEventTravels(t *testing.T) {
	ty := reflect.TypeFor[lock.Event]()
	for i := range ty.NumField() {
		var e lock.Event
		n := uint64(0)
		fill(reflect.ValueOf(&e).Elem().Field(i), &n)
		if got := EventOf(wire(t, EventPB(e))); !reflect.DeepEqual(got, e) {
			t.Errorf("%s\n got %+v\nwant %+v", ty.Field(i).Name, reflect.ValueOf(got).Field(i), reflect.ValueOf(e).Field(i))
		}
	}
}

func TestSnapshotInPieces(t *testing.T) {
	want := lock.Snapshot{Grace: time.Second, Epoch: 7}
	for i, n := range []int{0, 1, 255, 256, 257, 1000, 3} {
		f := lock.FileState{Key: lock.Key{FSID: 1, Ino: uint64(i + 1)}, Path: "p"}
		for j := range n {
			f.Ranges = append(f.Ranges, lock.RangeState{Offset: uint64(j)})
			f.Waiters = append(f.Waiters, lock.WaiterState{Ticket: uint64(j)})
		}
		f.Opens = append(f.Opens, lock.OpenState{Open: uint64(i)})
		want.Files = append(want.Files, f)
	}
	sent := make(chan *lockpb.Snapshot, 100)
	if err := SendSnapshot(want, func(m *lockpb.Snapshot) error { sent <- m; return nil }); err != nil {
		t.Fatal(err)
	}
	close(sent)
	n := len(sent)
	got, err := receiveSnapshot(func() (*lockpb.Snapshot, error) {
		if m, ok := <-sent; ok {
			return m, nil
		}
		return nil, io.EOF
	})
	if err != nil || !reflect.DeepEqual(got, want) || n < 4 {
		t.Errorf("%d pieces, %v\n got %+v\nwant %+v", n, err, got, want)
	}
}

func FuzzOpenRequest(g *testing.F) {
	f := fuzz.On(g)
	b, _ := proto.Marshal(OpenRequestPB(filled[lock.OpenRequest]()))
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &lockpb.OpenRequest{}
		if proto.Unmarshal(b, p) != nil {
			return
		}
		r := OpenRequestOf(p)
		if got := OpenRequestOf(OpenRequestPB(r)); !reflect.DeepEqual(got, r) && len(r.FH)+len(r.Private) > 0 {
			t.Errorf("got %+v\nwant %+v", got, r)
		}
	})
}

func FuzzEvent(g *testing.F) {
	f := fuzz.On(g)
	b, _ := proto.Marshal(EventPB(lock.Event{Break: &lock.Break{Open: 7, From: lock.R | lock.W}}))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &lockpb.Event{}
		if proto.Unmarshal(b, p) == nil {
			EventPB(EventOf(p))
		}
	})
}
