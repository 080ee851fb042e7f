//go:build !race

package nfs3

import (
	"bytes"
	"net/netip"
	"testing"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// (Not under the race detector: there pools forget.) What is called most costs no memory, from the call's bytes to the reply's, but for the name
// of a LOOKUP, and the end of what the counter admitted, a function that READ and WRITE call.
func TestHotCallsAllocate(t *testing.T) {
	r := start(t)
	r.counter.quiet = true
	fh := FileHandle(bytes.Clone(r.create("f", 0o600)))
	data := make([]byte, 4096)
	r.call(7, &WriteArgs{File: fh, Count: 4096, Stable: FileSync, Data: data}, &WriteRes{}, OK)
	procs := Program(r.server).Procs
	c := &oncrpc.Call{Flavor: oncrpc.FlavorSys, Sys: *r.cred.Sys, Remote: netip.MustParseAddrPort("127.0.0.1:1")}
	out := make([]byte, 0, 8192)
	for _, x := range []struct {
		proc int
		args xdr.Value
		most float64
	}{
		{1, &GetAttrArgs{fh}, 0},
		{3, &LookupArgs{DirOpArgs{r.root, "f"}}, 1},
		{4, &AccessArgs{fh, 0x3f}, 0},
		{6, &ReadArgs{fh, 0, 4096}, 2},
		{7, &WriteArgs{File: fh, Count: 4096, Data: data}, 2},
	} {
		b, err := xdr.Marshal(nil, x.args)
		r.ok(err)
		n := testing.AllocsPerRun(200, func() {
			args, res := xdr.Decoder(b), xdr.Encoder(out)
			r.ok(procs[x.proc].Call(t.Context(), c, &args, &res))
			if c.Release != nil {
				c.Release()
			}
			c.Tail, c.Release = nil, nil
		})
		// The two streams of this test escape; the server's are part of its exchange.
		if n-2 > x.most {
			t.Errorf("%s: %v allocations, want %v at most", procs[x.proc].Name, n-2, x.most)
		}
	}
}
