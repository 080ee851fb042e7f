package nlm

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"testing"

	second "github.com/buildbarn/go-xdr/pkg/protocols/nlm"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/xdr"
)

var range64 = Lock{CallerName: "ant", FH: []byte("handle"), OH: []byte{7, 8}, SVID: -3, Offset: 1 << 40, Length: 5}

func TestWire(t *testing.T) {
	const (
		cookie = "00000002 63310000"
		who    = "00000003 616e7400 00000006 68616e646c650000 00000002 07080000 fffffffd"
		wide   = "0000010000000000 0000000000000005"
	)
	for _, tc := range []struct {
		name string
		m    Message
		want string
	}{
		{"lockargs", &LockArgs{Cookie: []byte("c1"), Block: true, Lock: range64, Reclaim: true, State: 9},
			cookie + "00000001 00000000" + who + wide + "00000001 00000009"},
		{"lockargs of version 3", &LockArgs{Version: V3, Cookie: []byte("c1"), Exclusive: true, Lock: Lock{"ant", []byte("handle"), []byte{7, 8}, -3, 16, 0}},
			cookie + "00000000 00000001" + who + "00000010 00000000 00000000 00000000"},
		{"cancargs", &CancelArgs{Cookie: []byte("c1"), Exclusive: true, Lock: range64}, cookie + "00000000 00000001" + who + wide},
		{"unlockargs", &UnlockArgs{Cookie: []byte("c1"), Lock: range64}, cookie + who + wide},
		{"testargs", &TestArgs{Cookie: []byte("c1"), Exclusive: true, Lock: range64}, cookie + "00000001" + who + wide},
		{"testres, denied", &TestRes{Cookie: []byte("c1"), Status: Denied, Holder: Holder{true, 4, []byte{1}, 2, 3}},
			cookie + "00000001 00000001 00000004 00000001 01000000 0000000000000002 0000000000000003"},
		{"testres, granted", &TestRes{Cookie: []byte("c1")}, cookie + "00000000"},
		{"res", &Res{Cookie: []byte("c1"), Status: StaleFH}, cookie + "00000007"},
		{"shareargs", &ShareArgs{Cookie: []byte("c1"), Share: Share{"ant", []byte("handle"), []byte{7, 8}, DenyWrite, AccessReadWrite}},
			cookie + "00000003 616e7400 00000006 68616e646c650000 00000002 07080000 00000002 00000003 00000000"},
		{"shareres", &ShareRes{Cookie: []byte("c1"), Status: Denied, Sequence: 1}, cookie + "00000001 00000001"},
		{"notify", &Notify{Name: "ant", State: 5}, "00000003 616e7400 00000005"},
	} {
		want, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(tc.want), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := xdr.Marshal(nil, tc.m)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\ngot  %x\nwant %x", tc.name, err, got, want)
			continue
		}
		back := reflect.New(reflect.TypeOf(tc.m).Elem()).Interface().(Message)
		back.SetVersion(Version(reflect.ValueOf(tc.m).Elem().FieldByName("Version").Uint()))
		if err := xdr.Unmarshal(got, back); err != nil || !reflect.DeepEqual(normal(back), normal(tc.m)) {
			t.Errorf("%s: came back as %+v, %v", tc.name, back, err)
		}
	}
}

// normal makes empty and nil byte strings alike.
func normal(m Message) string {
	b, _ := xdr.Marshal(nil, m)
	return hex.EncodeToString(b)
}

func TestNarrowVersionsClip(t *testing.T) {
	for _, tc := range []struct{ offset, length, wantOffset, wantLength uint64 }{
		{5, 10, 5, 10},
		{5, 0, 5, 0},
		{5, 1 << 32, 5, 0},
		{math.MaxUint32 - 1, 2, math.MaxUint32 - 1, 0},
		{1 << 33, 10, math.MaxUint32, 0},
		{0, math.MaxUint64, 0, 0},
	} {
		r := TestRes{Version: V3, Status: Denied, Holder: Holder{Offset: tc.offset, Length: tc.length}}
		b, _ := xdr.Marshal(nil, &r)
		back := TestRes{Version: V3}
		if err := xdr.Unmarshal(b, &back); err != nil || back.Holder.Offset != tc.wantOffset || back.Holder.Length != tc.wantLength {
			t.Errorf("%d+%d came as %d+%d, %v", tc.offset, tc.length, back.Holder.Offset, back.Holder.Length, err)
		}
	}
	for _, v := range []Version{V1, V3} {
		r := Res{Version: v, Status: StaleFH}
		if b, _ := xdr.Marshal(nil, &r); b[7] != byte(DeniedNoLocks) {
			t.Errorf("version %d tells STALE_FH as %d", v, b[7])
		}
	}
}

// The same messages through a second implementation of version 4.
func TestSecondOpinion(t *testing.T) {
	lock := second.Nlm4Lock{CallerName: "ant", Fh: []byte("handle"), Oh: []byte{7, 8}, Svid: -3, LOffset: 1 << 40, LLen: 5}
	var b bytes.Buffer
	args := second.Nlm4Lockargs{Cookie: []byte("c1"), Block: true, Exclusive: true, Alock: lock, Reclaim: true, State: 9}
	args.WriteTo(&b)
	got, _ := xdr.Marshal(nil, &LockArgs{Cookie: []byte("c1"), Block: true, Exclusive: true, Lock: range64, Reclaim: true, State: 9})
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("lockargs\nours   %x\ntheirs %x", got, b.Bytes())
	}
	b.Reset()
	res := second.Nlm4Testres{Cookie: []byte("c1"), TestStat: &second.Nlm4Testrply_NLM4_DENIED{Holder: second.Nlm4Holder{Exclusive: true, Svid: 4, Oh: []byte{1}, LOffset: 2, LLen: 3}}}
	res.WriteTo(&b)
	got, _ = xdr.Marshal(nil, &TestRes{Cookie: []byte("c1"), Status: Denied, Holder: Holder{true, 4, []byte{1}, 2, 3}})
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("testres\nours   %x\ntheirs %x", got, b.Bytes())
	}
	b.Reset()
	share := second.Nlm4Shareargs{Cookie: []byte("c1"), Share: second.Nlm4Share{CallerName: "ant", Fh: []byte("h"), Oh: []byte{7}, Mode: second.FSM_DRW, Access: second.FSA_W}}
	share.WriteTo(&b)
	got, _ = xdr.Marshal(nil, &ShareArgs{Cookie: []byte("c1"), Share: Share{"ant", []byte("h"), []byte{7}, DenyReadWrite, AccessWrite}})
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("shareargs\nours   %x\ntheirs %x", got, b.Bytes())
	}
}

func FuzzMessages(g *testing.F) {
	f := fuzz.On(g)
	for _, v := range []Version{V3, V4} {
		for _, m := range messages() {
			m.SetVersion(v)
			b, _ := xdr.Marshal(nil, m)
			f.Add(uint8(v), b)
		}
	}
	f.Fuzz(func(t *testing.T, version uint8, b []byte) {
		for _, m := range messages() {
			m.SetVersion(Version(version))
			if xdr.Unmarshal(b, m) != nil {
				continue
			}
			out, err := xdr.Marshal(nil, m)
			if err != nil {
				t.Errorf("%T: %x does not encode again: %v", m, b, err)
			}
			again := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
			again.SetVersion(Version(version))
			if err := xdr.Unmarshal(out, again); err != nil || normal(again) != normal(m) {
				t.Errorf("%T: %x became %+v, then %+v, %v", m, b, m, again, err)
			}
		}
	})
}

func messages() []Message {
	return []Message{&LockArgs{}, &CancelArgs{}, &UnlockArgs{}, &TestArgs{}, &TestRes{}, &Res{}, &ShareArgs{}, &ShareRes{}, &Notify{}}
}
