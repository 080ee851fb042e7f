package check

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"dittofs/gateway/xdr"
)

// rpc is an ONC RPC client over one TCP connection, with AUTH_SYS, written from RFC 5531 and nothing of the server's.
type rpc struct {
	t    *testing.T
	conn net.Conn
	xid  uint32
	uid  uint32
}

func dialRPC(t *testing.T, local, addr string, uid uint32) *rpc {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rpc{t: t, conn: c, xid: uint32(time.Now().UnixNano()), uid: uid}
}

// try makes a call and returns its results, or why there are none.
func (r *rpc) try(prog, vers, proc uint32, args func(x *xdr.Stream)) (*xdr.Stream, error) {
	r.xid++
	x := xdr.Encoder(make([]byte, 4))
	u32 := func(v ...uint32) {
		for _, v := range v {
			x.Uint32(&v)
		}
	}
	u32(r.xid, 0, 2, prog, vers, proc)
	cred := xdr.Encoder(nil)
	stamp, machine, none := uint32(1), "check", uint32(0)
	cred.Uint32(&stamp)
	cred.String(&machine, 255)
	cred.Uint32(&r.uid)
	cred.Uint32(&r.uid)
	cred.Uint32(&none)
	body := cred.Bytes()
	u32(1)
	x.Opaque(&body, 400)
	u32(0, 0)
	if args != nil {
		args(&x)
	}
	b := x.Bytes()
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)|1<<31)
	r.conn.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := r.conn.Write(b); err != nil {
		return nil, err
	}
	var rec []byte
	for last := false; !last; {
		var h [4]byte
		if _, err := io.ReadFull(r.conn, h[:]); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(h[:])
		last = n>>31 == 1
		frag := make([]byte, n&^(1<<31))
		if _, err := io.ReadFull(r.conn, frag); err != nil {
			return nil, err
		}
		rec = append(rec, frag...)
	}
	d := xdr.Decoder(rec)
	var xid, reply, accepted, flavor, stat uint32
	var verf []byte
	for _, p := range []*uint32{&xid, &reply, &accepted, &flavor} {
		d.Uint32(p)
	}
	d.Opaque(&verf, 400)
	d.Uint32(&stat)
	if d.Err() != nil || xid != r.xid || reply != 1 || accepted != 0 || stat != 0 {
		return nil, fmt.Errorf("xid %x for %x, reply %d, stat %d, accept_stat %d: %v", xid, r.xid, reply, accepted, stat, d.Err())
	}
	return &d, nil
}

func (r *rpc) call(prog, vers, proc uint32, args func(x *xdr.Stream)) *xdr.Stream {
	r.t.Helper()
	d, err := r.try(prog, vers, proc, args)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func uint32Of(x *xdr.Stream) (v uint32) { x.Uint32(&v); return v }

// nfs is an NFSv3 client: RFC 1813.
type nfs struct {
	*rpc
	root []byte
}

const (
	nfsOK       = 0
	nfsNoEnt    = 2
	nfsAcces    = 13
	nfsStale    = 70
	nfsBadFH    = 10001
	nfsJukebox  = 10008
	progNFS     = 100003
	progMount   = 100005
	progNLM     = 100021
	procLookup  = 3
	procRead    = 6
	procWrite   = 7
	procGetAttr = 1
)

func (g *gateway) nfs(t *testing.T, uid uint32) *nfs {
	t.Helper()
	m := dialRPC(t, "", g.Ready["mount"], uid)
	x := m.call(progMount, 3, 1, func(x *xdr.Stream) { x.String(&g.Dir, 1024) })
	if st := uint32Of(x); st != 0 {
		t.Fatalf("MNT %s: %d", g.Dir, st)
	}
	n := &nfs{rpc: dialRPC(t, "", g.Ready["nfs"], uid)}
	x.Opaque(&n.root, 64)
	return n
}

func (n *nfs) lookup(name string) (fh []byte, status uint32) {
	n.t.Helper()
	x := n.call(progNFS, 3, procLookup, func(x *xdr.Stream) { x.Opaque(&n.root, 64); x.String(&name, 4096) })
	if status = uint32Of(x); status == nfsOK {
		x.Opaque(&fh, 64)
	}
	return bytes.Clone(fh), status
}

func (n *nfs) must(name string) []byte {
	n.t.Helper()
	fh, st := n.lookup(name)
	if st != nfsOK {
		n.t.Fatalf("LOOKUP %s: %d", name, st)
	}
	return fh
}

func (n *nfs) getattr(fh []byte) uint32 {
	n.t.Helper()
	return uint32Of(n.call(progNFS, 3, procGetAttr, func(x *xdr.Stream) { x.Opaque(&fh, 64) }))
}

// write is a FILE_SYNC WRITE.
func (n *nfs) write(fh []byte, offset uint64, data string) (status uint32) {
	n.t.Helper()
	return uint32Of(n.call(progNFS, 3, procWrite, func(x *xdr.Stream) {
		count, stable, b := uint32(len(data)), uint32(2), []byte(data)
		x.Opaque(&fh, 64)
		x.Uint64(&offset)
		x.Uint32(&count)
		x.Uint32(&stable)
		x.Opaque(&b, 1<<20)
	}))
}

func (n *nfs) read(fh []byte, offset uint64, count uint32) (data string, status uint32) {
	n.t.Helper()
	x := n.call(progNFS, 3, procRead, func(x *xdr.Stream) { x.Opaque(&fh, 64); x.Uint64(&offset); x.Uint32(&count) })
	if status = uint32Of(x); status != nfsOK {
		return "", status
	}
	if uint32Of(x) == 1 { // post_op_attr: fattr3 has 84 bytes
		var attr [84]byte
		x.Fixed(attr[:])
	}
	uint32Of(x)
	uint32Of(x)
	var b []byte
	x.Opaque(&b, 1<<20)
	return string(b), status
}

// nlm is an NLM version 4 client, X/Open NLM, with the client's side of GRANTED on its own port.
type nlm struct {
	*rpc
	host string
	svid int32
}

const (
	nlmGranted   = 0
	nlmDenied    = 1
	nlmBlocked   = 3
	nlmGrace     = 4
	nlmLock      = 2
	nlmUnlock    = 4
	nlmGrantedUp = 5
)

// nlm is the client called host, which comes from clientAddr.
func (g *gateway) nlm(t *testing.T, host string, svid int32) *nlm {
	t.Helper()
	return &nlm{rpc: dialRPC(t, clientAddr, g.Ready["nlm"], 0), host: host, svid: svid}
}

func (n *nlm) alock(x *xdr.Stream, fh []byte, offset, length uint64) {
	oh := fmt.Appendf(nil, "%d@%s", n.svid, n.host)
	x.String(&n.host, 1024)
	x.Opaque(&fh, 1024)
	x.Opaque(&oh, 1024)
	x.Int32(&n.svid)
	x.Uint64(&offset)
	x.Uint64(&length)
}

func (n *nlm) status(x *xdr.Stream) uint32 {
	var cookie []byte
	x.Opaque(&cookie, 1024)
	return uint32Of(x)
}

func (n *nlm) lock(fh []byte, offset, length uint64, block, reclaim bool) uint32 {
	n.t.Helper()
	return n.status(n.call(progNLM, 4, nlmLock, func(x *xdr.Stream) {
		cookie, exclusive, state := []byte("c1"), true, int32(1)
		x.Opaque(&cookie, 1024)
		x.Bool(&block)
		x.Bool(&exclusive)
		n.alock(x, fh, offset, length)
		x.Bool(&reclaim)
		x.Int32(&state)
	}))
}

func (n *nlm) unlock(fh []byte, offset, length uint64) uint32 {
	n.t.Helper()
	return n.status(n.call(progNLM, 4, nlmUnlock, func(x *xdr.Stream) {
		cookie := []byte("c2")
		x.Opaque(&cookie, 1024)
		n.alock(x, fh, offset, length)
	}))
}

// clientAddr is the address of NLM clients, so that the server finds their rpcbind and not its own.
const clientAddr = "127.0.0.2"

// granted is the client's side of blocking locks: an NLM server and the rpcbind that names its port. It confirms each GRANTED and tells
// the caller_name.
func granted(t *testing.T) <-chan string {
	t.Helper()
	s := &callbacks{got: make(chan string, 16)}
	l, err := net.Listen("tcp", clientAddr+":0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = uint32(l.Addr().(*net.TCPAddr).Port)
	bind, err := net.Listen("tcp", clientAddr+":111")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", clientAddr+":111")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); bind.Close(); udp.Close() })
	go s.accept(l)
	go s.accept(bind)
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			udp.WriteTo(s.answer(b[:n]), from)
		}
	}()
	return s.got
}

type callbacks struct {
	port uint32
	got  chan string
}

func (s *callbacks) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				var h [4]byte
				if _, err := io.ReadFull(c, h[:]); err != nil {
					return
				}
				rec := make([]byte, binary.BigEndian.Uint32(h[:])&^(1<<31))
				if _, err := io.ReadFull(c, rec); err != nil {
					return
				}
				b := s.answer(rec)
				if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))|1<<31), b...)); err != nil {
					return
				}
			}
		}()
	}
}

// answer answers NLM4_GRANTED, rpcbind's GETPORT and GETADDR, and NULL.
func (s *callbacks) answer(call []byte) []byte {
	x := xdr.Decoder(call)
	var xid, kind, rv, prog, vers, proc, flavor uint32
	for _, p := range []*uint32{&xid, &kind, &rv, &prog, &vers, &proc} {
		x.Uint32(p)
	}
	for range 2 {
		var body []byte
		x.Uint32(&flavor)
		x.Opaque(&body, 400)
	}
	out := xdr.Encoder(nil)
	for _, v := range []uint32{xid, 1, 0, 0, 0, 0} {
		out.Uint32(&v)
	}
	switch {
	case prog == progNLM && proc == nlmGrantedUp:
		var cookie []byte
		var exclusive bool
		var caller string
		x.Opaque(&cookie, 1024)
		x.Bool(&exclusive)
		x.String(&caller, 1024)
		ok := uint32(nlmGranted)
		out.Opaque(&cookie, 1024)
		out.Uint32(&ok)
		s.got <- caller
	case prog == 100000 && proc == 3 && vers == 2:
		out.Uint32(&s.port)
	case prog == 100000 && proc == 3:
		addr := fmt.Sprintf("%s.%d.%d", clientAddr, s.port>>8, s.port&255)
		out.String(&addr, 255)
	}
	return out.Bytes()
}
