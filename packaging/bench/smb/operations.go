package main

import (
	"fmt"
	"os"

	smb2 "github.com/cloudsoda/go-smb2"
)

const (
	entries = 10_000
	bigSize = 128 << 20
	piece   = 1 << 20
)

// operation is what one worker does again and again. A unit is what its rate counts.
type operation struct {
	name        string
	protections []string
	own         bool // it brings its own sessions
	lone        bool // by one worker only
	begin       func(share *smb2.Share, protection string, worker int) (once func() (units int, err error), end func(), err error)
}

var every, light = []string{"plain", "signed", "sealed"}, []string{"signed"}

func nothing() {}

var operations = []operation{
	{name: "session", protections: light, own: true, begin: func(_ *smb2.Share, protection string, _ int) (func() (int, error), func(), error) {
		return func() (int, error) {
			s, err := dial(protection)
			if err != nil {
				return 0, err
			}
			share, err := s.Mount(protection)
			if err != nil {
				return 0, err
			}
			share.Umount()
			return 1, s.Logoff()
		}, nothing, nil
	}},
	{name: "open, close", protections: every, begin: func(share *smb2.Share, _ string, worker int) (func() (int, error), func(), error) {
		name := fmt.Sprintf(`work\open-%d`, worker)
		if err := share.WriteFile(name, []byte("x"), 0o666); err != nil {
			return nil, nil, err
		}
		return func() (int, error) {
			f, err := share.Open(name)
			if err != nil {
				return 0, err
			}
			return 1, f.Close()
		}, func() { share.Remove(name) }, nil
	}},
	{name: "create, write, close, delete", protections: every, begin: func(share *smb2.Share, _ string, worker int) (func() (int, error), func(), error) {
		name, data := fmt.Sprintf(`work\create-%d`, worker), make([]byte, 4096)
		return func() (int, error) {
			f, err := share.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o666)
			if err != nil {
				return 0, err
			}
			if _, err := f.WriteAt(data, 0); err != nil {
				return 0, err
			}
			if err := f.Close(); err != nil {
				return 0, err
			}
			return 1, share.Remove(name)
		}, nothing, nil
	}},
	{name: "stat", protections: light, begin: func(share *smb2.Share, _ string, _ int) (func() (int, error), func(), error) {
		return func() (int, error) {
			_, err := share.Stat("big")
			return 1, err
		}, nothing, nil
	}},
	{name: "listed entry of 10,000", protections: light, begin: func(share *smb2.Share, _ string, _ int) (func() (int, error), func(), error) {
		return func() (int, error) {
			l, err := share.ReadDir("list")
			if err == nil && len(l) != entries {
				err = fmt.Errorf("%d entries", len(l))
			}
			return len(l), err
		}, nothing, nil
	}},
	{name: "read 4 KiB", protections: every, begin: data(4096, false)},
	{name: "write 4 KiB", protections: every, begin: data(4096, true)},
	{name: "read 1 MiB", protections: every, begin: data(piece, false)},
	{name: "write 1 MiB", protections: every, begin: data(piece, true)},
}

// data reads or writes a file piece by piece, from a place of the worker's own on and around.
func data(size int, write bool) func(*smb2.Share, string, int) (func() (int, error), func(), error) {
	return func(share *smb2.Share, _ string, worker int) (func() (int, error), func(), error) {
		f, err := share.OpenFile("big", os.O_RDWR, 0)
		if err != nil {
			return nil, nil, err
		}
		b, at := make([]byte, size), int64(worker)*(bigSize/16)%bigSize
		return func() (int, error) {
			var n int
			var err error
			if write {
				n, err = f.WriteAt(b, at)
			} else {
				n, err = f.ReadAt(b, at)
			}
			if err == nil && n != size {
				err = fmt.Errorf("%d bytes of %d", n, size)
			}
			at = (at + int64(size)) % (bigSize - int64(size))
			return 1, err
		}, func() { f.Close() }, nil
	}
}
