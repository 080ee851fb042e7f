package server

import (
	"bytes"
	"context"
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
)

// Streams as macOS keeps them, on shares that serve Macs. AFP_AfpInfo has 60 bytes, of which the Finder's are what counts: without them
// there is no such stream. AFP_Resource is the resource fork, which lies in the AppleDouble file (double.go); it is emptied, not deleted. A
// stream without bytes is no stream: it is not listed, cannot be opened, and goes with its last close.
const (
	afpInfo     = "AFP_AfpInfo"
	afpResource = "AFP_Resource"
	afpInfoSize = 60
)

// newAfpInfo is an AFP_AfpInfo that says nothing: signature, version and no time of a backup, in big endian.
func newAfpInfo() []byte {
	b := make([]byte, afpInfoSize)
	copy(b, "AFP\x00\x00\x00\x01\x00")
	b[12] = 0x80
	return b
}

// emptyAfpInfo reports whether an AFP_AfpInfo has nothing for the Finder, or is none.
func emptyAfpInfo(b []byte) bool {
	return len(b) != afpInfoSize || string(b[:4]) != "AFP\x00" || bytes.Equal(b[16:48], make([]byte, 32))
}

// isThere reports whether a stored stream is one for the clients of this share.
func (h *share) isThere(in streamed, stored string) bool {
	switch {
	case stored == "":
		return false
	case !h.terms().Apple:
		return true
	case sameName(stored, afpInfo):
		b, err := in.read(stored)
		return err == nil && !emptyAfpInfo(b)
	}
	n, err := in.size(stored)
	return err == nil && n > 0
}

// forget ends the open's use of its stream. The last one's end removes a stream that is not there. Who may have the AppleDouble file open is asked
// before, because that may take its time, and until then no stream could be opened.
func (o *open) forget(ctx context.Context) {
	var end func(removed bool)
	if o.forks() && o.double.size() == 0 {
		end, _ = o.admitDouble(ctx, new(request), o.double, lock.OpRemove)
	}
	var from *spot
	o.session.s.streams.done(o.stream, func() {
		name := o.stream.called()
		switch {
		case !o.tree.apple() || o.tree.share.isThere(o.streamed(), name):
		case !o.forks():
			export.RemoveXattr(int(o.file.Fd()), export.StreamAttribute(name))
		case end != nil:
			from = o.unlinkDouble()
		}
	})
	if end != nil {
		end(from != nil)
	}
	if from != nil {
		o.doubleChanged(ctx, o.double, *from, lock.Removed)
		from.dir.Close()
	}
}

// finder reports whether the open is an AFP_AfpInfo's.
func (o *open) finder() bool {
	return o.stream != nil && o.tree.apple() && sameName(o.stream.called(), afpInfo)
}

// resourceFork reports whether the open is an AFP_Resource's.
func (o *open) resourceFork() bool {
	return o.stream != nil && o.tree.apple() && sameName(o.stream.called(), afpResource)
}

// forks reports whether the open's stream is the resource fork in the AppleDouble file.
func (o *open) forks() bool { return o.double != nil && o.resourceFork() }

// readFinder reads an AFP_AfpInfo: from its beginning, wherever within it a client asks.
func (s *stream) readFinder(in streamed, b []byte, offset int64) (int, error) {
	if offset > afpInfoSize {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := in.read(s.name)
	if err != nil {
		return 0, err
	}
	if len(data) != afpInfoSize || string(data[:4]) != "AFP\x00" {
		data = newAfpInfo()
	}
	return copy(b, data), nil
}

// writeFinder writes an AFP_AfpInfo, which begins with its signature; elsewhere than at the beginning it must be whole.
func (s *stream) writeFinder(f *os.File, b []byte, offset int64) (int, error) {
	if len(b) < 3 || string(b[:3]) != "AFP" || offset > 0 && len(b) < afpInfoSize {
		return 0, ntstatus.InvalidParameter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := readStream(f, s.name)
	if err != nil {
		return 0, err
	}
	if len(data) != afpInfoSize {
		data = newAfpInfo()
	}
	copy(data, b)
	return len(b), writeStream(f, s.name, data, unix.XATTR_REPLACE)
}
