package server

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"dittofs/smbd/appledouble"
)

// streamed is a file with its named streams as they lie on the disk: as extended attributes, and on shares that serve Macs in its AppleDouble file, too.
// What is in both is the attribute's, but for the resource fork.
type streamed struct {
	file   *os.File
	double *double // nil: none
	mac    bool    // it is on such a share
}

func (t *tree) streamed(f *os.File, d *double) streamed { return streamed{f, d, t.apple()} }

// forked reports whether a stream is the resource fork and lies in the AppleDouble file: there it does, unless an attribute has more of it.
func (s streamed) forked(name string) bool {
	if s.double == nil || !sameName(name, afpResource) {
		return false
	}
	_, err := streamSize(s.file, name)
	return err != nil || s.double.size() > 0
}

// notes are the streams that macOS and Netatalk keep in other places.
func (s streamed) notes() []appledouble.Attribute {
	notes := s.double.notes()
	if s.mac {
		if info, _ := netatalkInfo(s.file); info != nil {
			notes = append(notes, appledouble.Attribute{Name: afpInfo, Value: info})
		}
	}
	return notes
}

// note finds one of them; nil if there is none.
func (s streamed) note(name string) []byte {
	for _, n := range s.notes() {
		if n.Name == name {
			return n.Value
		}
	}
	return nil
}

// names lists the streams.
func (s streamed) names() ([]string, error) {
	names, err := streamNames(s.file)
	for _, n := range s.notes() {
		names = append(names, n.Name)
	}
	if s.double.size() > 0 {
		names = append(names, afpResource)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// find finds a stream by what a client calls it: exactly so, else without regard to case. "" if there is none.
func (s streamed) find(name string) (stored string, err error) {
	names, err := s.names()
	for _, n := range names {
		w := wireStream(n)
		if w == name {
			return n, nil
		}
		if sameName(w, name) {
			stored = n
		}
	}
	return stored, err
}

// size is how long a stream is; ENODATA where there is none.
func (s streamed) size(name string) (uint64, error) {
	if s.forked(name) {
		return s.double.size(), nil
	}
	n, err := streamSize(s.file, name)
	if errors.Is(err, unix.ENODATA) {
		if b := s.note(name); b != nil {
			return uint64(len(b)), nil
		}
	}
	return n, err
}

// read reads a stream that is not the fork in the AppleDouble file.
func (s streamed) read(name string) ([]byte, error) {
	b, err := readStream(s.file, name)
	if errors.Is(err, unix.ENODATA) {
		if note := s.note(name); note != nil {
			return note, nil
		}
	}
	return b, err
}

func (s streamed) readAt(name string, b []byte, offset int64) (int, error) {
	if s.forked(name) {
		return s.double.readAt(b, offset)
	}
	data, err := s.read(name)
	if err != nil || offset >= int64(len(data)) {
		return 0, err
	}
	return copy(b, data[offset:]), nil
}
