package smb2

import (
	"reflect"
	"testing"

	"dittofs/gateway/fuzz"
)

func TestAAPL(t *testing.T) {
	q := AAPLQuery{Command: AAPLServerQuery, Bitmap: 7, ClientCaps: 13}
	var gotQ AAPLQuery
	if err := gotQ.Parse(q.Append(nil)); err != nil || gotQ != q {
		t.Errorf("%+v, %v", gotQ, err)
	}
	for _, a := range []AAPLAnswer{{Bitmap: 7, ServerCaps: 15, VolumeCaps: 4, Model: "Mac"}, {Bitmap: 2, VolumeCaps: 4}, {}} {
		var got AAPLAnswer
		if err := got.Parse(a.Append(nil)); err != nil || got != a {
			t.Errorf("%+v, %v; want %+v", got, err, a)
		}
	}
}

func FuzzAAPL(g *testing.F) {
	f := fuzz.On(g)
	f.Add((&AAPLQuery{Command: AAPLServerQuery, Bitmap: 7, ClientCaps: 13}).Append(nil))
	f.Add((&AAPLAnswer{Bitmap: 7, ServerCaps: 15, VolumeCaps: 4, Model: "Mac"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q, again AAPLQuery
		if q.Parse(b) == nil && (again.Parse(q.Append(nil)) != nil || again != q) {
			t.Fatalf("%+v, want %+v", again, q)
		}
		var a, more AAPLAnswer
		if a.Parse(b) == nil && (more.Parse(a.Append(nil)) != nil || !reflect.DeepEqual(a, more)) {
			t.Fatalf("%+v, want %+v", more, a)
		}
	})
}
