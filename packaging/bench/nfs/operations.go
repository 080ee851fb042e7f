package main

import (
	"bytes"
	"fmt"
	"time"

	"dittofs/gateway/xdr"
	"dittofs/packaging/bench/side"
)

// operation is something to be measured.
type operation struct {
	name    string
	nlm     bool
	lone    bool // by one caller only
	calls   int  // of one unit, where it is always the same; -1: whole listings only
	prepare func(m *mounted) error
	// next makes a slot's next call. res is what the one before was answered, behind its status; nil: there was none.
	next func(k *slot, res *xdr.Stream) call
}

const (
	fileSize = 64 << 20
	mebi     = 1 << 20
	names    = 1000
)

var zeros = make([]byte, mebi)

func operations(big bool) []operation {
	ops := []operation{
		{name: "GETATTR", prepare: withFile, next: each(func(k *slot) call { return handle(1, k.m.file) })},
		{name: "ACCESS", prepare: withFile, next: each(func(k *slot) call {
			return call{progNFS, 4, func(x *xdr.Stream) { all := uint32(0x3f); x.Opaque(&k.m.file, 64); x.Uint32(&all) }}
		})},
		{name: "LOOKUP", prepare: withNames("many", names), next: each(func(k *slot) call { return named(3, k.m.dirs["many"], fmt.Sprint("name-", k.rnd.IntN(names))) })},
		{name: "READ 4 KiB random", prepare: withFile, next: each(func(k *slot) call { return read(k.m.file, uint64(k.rnd.IntN(fileSize/4096))*4096, 4096) })},
		{name: "WRITE 4 KiB random UNSTABLE", prepare: withFile, next: each(func(k *slot) call { return write(k.m.file, uint64(k.rnd.IntN(fileSize/4096))*4096, 4096, 0) })},
		{name: "WRITE 4 KiB random FILE_SYNC", prepare: withFile, next: each(func(k *slot) call { return write(k.m.file, uint64(k.rnd.IntN(fileSize/4096))*4096, 4096, 2) })},
		{name: "READ 1 MiB sequential", prepare: withFile, next: each(func(k *slot) call { return read(k.m.file, k.m.at.Add(mebi)%fileSize, mebi) })},
		{name: "WRITE 1 MiB UNSTABLE, COMMIT at 64", prepare: withFile, next: func(k *slot, res *xdr.Stream) call {
			if res != nil && k.last.proc == 7 {
				k.units++
			}
			at := k.m.at.Add(mebi) % fileSize
			if at == 0 {
				return commit(k.m.file)
			}
			return write(k.m.file, at, mebi, 0)
		}},
		{name: "WRITE 1 MiB FILE_SYNC", prepare: withFile, next: each(func(k *slot) call { return write(k.m.file, k.m.at.Add(mebi)%fileSize, mebi, 2) })},
		{name: "CREATE, WRITE, COMMIT, REMOVE", calls: 4, prepare: withNames("churn", 0), next: churn},
		{name: "READDIRPLUS of 10,000", calls: -1, prepare: withNames("crowd", 10000), next: list("crowd")},
		{name: "LOCK, UNLOCK: the lone lock", nlm: true, lone: true, calls: 2, prepare: withFile, next: pair},
		{name: "LOCK, UNLOCK beside another", nlm: true, calls: 2, prepare: holding, next: pair},
	}
	if big {
		ops = append(ops, operation{name: "READDIRPLUS of 100,000", calls: -1, prepare: withNames("mass", 100000), next: list("mass")})
	}
	return ops
}

// each makes every call a unit.
func each(f func(k *slot) call) func(*slot, *xdr.Stream) call {
	return func(k *slot, res *xdr.Stream) call {
		if res != nil {
			k.units++
		}
		return f(k)
	}
}

func handle(proc uint32, fh []byte) call {
	return call{progNFS, proc, func(x *xdr.Stream) { x.Opaque(&fh, 64) }}
}

func named(proc uint32, dir []byte, name string) call {
	return call{progNFS, proc, func(x *xdr.Stream) { x.Opaque(&dir, 64); x.String(&name, 255) }}
}

func read(fh []byte, at uint64, n uint32) call {
	return call{progNFS, 6, func(x *xdr.Stream) { x.Opaque(&fh, 64); x.Uint64(&at); x.Uint32(&n) }}
}

func write(fh []byte, at uint64, n, stable uint32) call {
	return call{progNFS, 7, func(x *xdr.Stream) {
		data := zeros[:n]
		x.Opaque(&fh, 64)
		x.Uint64(&at)
		x.Uint32(&n)
		x.Uint32(&stable)
		x.Opaque(&data, mebi)
	}}
}

func commit(fh []byte) call {
	return call{progNFS, 21, func(x *xdr.Stream) { var zero uint64; var n uint32; x.Opaque(&fh, 64); x.Uint64(&zero); x.Uint32(&n) }}
}

// create is CREATE (8) and MKDIR (9).
func create(proc uint32, dir []byte, name string, mode uint32) call {
	return call{progNFS, proc, func(x *xdr.Stream) {
		unchecked, yes, no := uint32(0), true, uint32(0)
		x.Opaque(&dir, 64)
		x.String(&name, 255)
		if proc == 8 {
			x.Uint32(&unchecked)
		}
		x.Bool(&yes)
		x.Uint32(&mode)
		for range 5 {
			x.Uint32(&no)
		}
	}}
}

// newHandle is post_op_fh3.
func newHandle(x *xdr.Stream) (fh []byte) {
	var there bool
	if x.Bool(&there); there {
		x.Opaque(&fh, 64)
	}
	return bytes.Clone(fh)
}

func (m *mounted) ensure(dir []byte, name string, proc, mode uint32) ([]byte, error) {
	if x, err := m.ctl.one(named(3, dir, name)); err == nil {
		var fh []byte
		x.Opaque(&fh, 64)
		return bytes.Clone(fh), nil
	}
	x, err := m.ctl.one(create(proc, dir, name, mode))
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return newHandle(x), nil
}

func withFile(m *mounted) (err error) {
	if m.file, err = m.ensure(m.root, "file", 8, 0o644); err != nil {
		return err
	}
	for at := uint64(0); at < fileSize; at += mebi {
		if _, err := m.ctl.one(write(m.file, at, mebi, 0)); err != nil {
			return err
		}
	}
	_, err = m.ctl.one(commit(m.file))
	return err
}

func withNames(dir string, n int) func(m *mounted) error {
	return func(m *mounted) error {
		d, err := m.ensure(m.root, dir, 9, 0o755)
		if err != nil {
			return err
		}
		m.dirs[dir] = d
		if n == 0 {
			return nil
		}
		if _, err := m.ctl.one(named(3, d, fmt.Sprint("name-", n-1))); err == nil {
			return nil // the server before made them
		}
		for i := range n {
			m.ctl.put(i%64, create(8, d, fmt.Sprint("name-", i), 0o644))
			if i%64 != 63 && i != n-1 {
				continue
			}
			if err := m.ctl.flush(); err != nil {
				return err
			}
			for range i%64 + 1 {
				_, x, err := m.ctl.get()
				if err == nil {
					err = good(progNFS, &x)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// churn makes a file, writes 4 KiB, commits and removes it.
func churn(k *slot, res *xdr.Stream) call {
	dir, name := k.m.dirs["churn"], fmt.Sprint("file-", k.number)
	switch k.step % 4 {
	case 1:
		k.fh = newHandle(res)
		return write(k.fh, 0, 4096, 0)
	case 2:
		return commit(k.fh)
	case 3:
		return named(12, dir, name)
	}
	if res != nil {
		k.units++
	}
	return create(8, dir, name, 0o644)
}

// list reads a directory with READDIRPLUS, from its beginning to its end and again.
func list(dir string) func(*slot, *xdr.Stream) call {
	return func(k *slot, res *xdr.Stream) call {
		if res != nil {
			k.readDir(res)
		}
		return call{progNFS, 17, func(x *xdr.Stream) {
			fh, dircount, maxcount := k.m.dirs[dir], uint32(64<<10), uint32(1<<20)
			x.Opaque(&fh, 64)
			x.Uint64(&k.cookie)
			x.Fixed(k.verf[:])
			x.Uint32(&dircount)
			x.Uint32(&maxcount)
		}}
	}
}

// massCold is a server's first listing of a large directory; the kernel knows it already.
const massCold = "READDIRPLUS of 100,000, the first"

func listOnce(s *server, dir string) side.Result {
	m, err := mount(s.dir)
	if err != nil {
		return side.Result{Err: err}
	}
	defer m.close()
	if m.dirs[dir], err = m.ensure(m.root, dir, 9, 0o755); err != nil {
		return side.Result{Err: err}
	}
	o := operation{calls: -1, next: list(dir)}
	before, began := s.CPU(), time.Now()
	err = m.ctl.drive(&o, []*slot{{m: m}}, began)
	return side.Result{Rate: 1 / time.Since(began).Seconds(), CPU: s.CPU() - before, Err: err}
}

const fattr3 = 84

func (k *slot) readDir(x *xdr.Stream) {
	var attr [fattr3]byte
	attributes := func() {
		var there bool
		if x.Bool(&there); there {
			x.Fixed(attr[:])
		}
	}
	attributes()
	x.Fixed(k.verf[:])
	for more := true; ; {
		if x.Bool(&more); !more || x.Err() != nil {
			break
		}
		var ino uint64
		var name []byte
		x.Uint64(&ino)
		x.Opaque(&name, 255)
		x.Uint64(&k.cookie)
		attributes()
		var there bool
		if x.Bool(&there); there {
			x.Opaque(&name, 64)
		}
	}
	var eof bool
	if x.Bool(&eof); eof {
		k.units++
		k.cookie, k.verf = 0, [8]byte{}
	}
}

func alock(x *xdr.Stream, fh []byte, svid int32, at, n uint64) {
	caller, oh := "bench", fmt.Appendf(nil, "%d@bench", svid)
	x.String(&caller, 1024)
	x.Opaque(&fh, 1024)
	x.Opaque(&oh, 1024)
	x.Int32(&svid)
	x.Uint64(&at)
	x.Uint64(&n)
}

// pair locks a range of the slot's own, and unlocks it.
func pair(k *slot, res *xdr.Stream) call {
	cookie, at := []byte("cook"), uint64(k.number)*100
	if k.step%2 == 1 {
		return call{progNLM, 4, func(x *xdr.Stream) { x.Opaque(&cookie, 1024); alock(x, k.m.file, int32(k.number)+1, at, 10) }}
	}
	if res != nil {
		k.units++
	}
	return lock(k.m.file, int32(k.number)+1, at)
}

func lock(fh []byte, svid int32, at uint64) call {
	return call{progNLM, 2, func(x *xdr.Stream) {
		cookie, block, exclusive, reclaim, state := []byte("cook"), false, true, false, int32(1)
		x.Opaque(&cookie, 1024)
		x.Bool(&block)
		x.Bool(&exclusive)
		alock(x, fh, svid, at, 10)
		x.Bool(&reclaim)
		x.Int32(&state)
	}}
}

// holding is withFile and a lock of the same client on another file.
func holding(m *mounted) error {
	if err := withFile(m); err != nil {
		return err
	}
	other, err := m.ensure(m.root, "other", 8, 0o644)
	if err != nil {
		return err
	}
	p, err := m.dial(progNLM)
	if err != nil {
		return err
	}
	_, err = p.one(lock(other, 999, 0))
	return err
}
