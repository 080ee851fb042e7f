package nsm

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/xdr"
)

func values() []xdr.Value {
	my := MyID{Name: "ant", Program: 100021, Version: 4, Proc: 16}
	priv := [16]byte{1, 2, 3}
	return []xdr.Value{&Name{"bee"}, &MonID{"bee", my}, &Mon{MonID{"bee", my}, priv}, &my, &StatRes{Fail, 3}, &State{-1}, &Change{"bee", 5}, &Status{"bee", 5, priv}}
}

func TestWire(t *testing.T) {
	const (
		bee  = "00000003 62656500"
		my   = "00000003 616e7400 000186b5 00000004 00000010"
		priv = "01020300 00000000 00000000 00000000"
	)
	for i, want := range []string{bee, bee + my, bee + my + priv, my, "00000001 00000003", "ffffffff", bee + "00000005", bee + "00000005" + priv} {
		v := values()[i]
		b, err := hex.DecodeString(strings.ReplaceAll(want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := xdr.Marshal(nil, v)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%T: %v\ngot  %x\nwant %x", v, err, got, b)
		}
		back := reflect.New(reflect.TypeOf(v).Elem()).Interface().(xdr.Value)
		if err := xdr.Unmarshal(b, back); err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("%T: came back as %+v, %v", v, back, err)
		}
	}
}

func FuzzMessages(g *testing.F) {
	f := fuzz.On(g)
	for _, v := range values() {
		b, _ := xdr.Marshal(nil, v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range values() {
			v = reflect.New(reflect.TypeOf(v).Elem()).Interface().(xdr.Value)
			if xdr.Unmarshal(b, v) != nil {
				continue
			}
			if out, err := xdr.Marshal(nil, v); err != nil || len(out) != len(b) {
				t.Errorf("%T: %x became %x, %v", v, b, out, err)
			}
		}
	})
}
