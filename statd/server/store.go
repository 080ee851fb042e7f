package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"dittofs/gateway/xdr"
	"dittofs/statd/nsm"
)

// Registration is one SM_MON, and the boot of this host that it was made in.
type Registration struct {
	nsm.Mon
	Boot string
}

// Target is a host that is to be told.
type Target struct {
	Name    string
	Address string // empty: the name is resolved
}

// Announcement is a state, and who was not told of it yet.
type Announcement struct {
	State   int32
	Pending []Target
}

// Store keeps registrations, one file each, and the announcement, in one directory. What a method returned is on disk.
type Store struct {
	dir  string
	boot string
	log  *slog.Logger

	mu        sync.Mutex              // guards the fields below
	monitored map[string]Registration // by file name
	announced Announcement
}

const (
	maxRegistrations = 10000
	prefix           = "mon-"
	announcedFile    = "announced"
	bootFile         = "/proc/sys/kernel/random/boot_id"
)

// OpenStore reads what is in dir, which it makes. A file that cannot be read is named in the log and left alone.
func OpenStore(dir string, log *slog.Logger) (*Store, error) {
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, boot: strings.TrimSpace(string(boot)), log: log, monitored: map[string]Registration{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		switch {
		case strings.HasPrefix(f.Name(), prefix):
			var r Registration
			if err := s.read(f.Name(), &r); err != nil {
				log.Error("registration not read", "file", filepath.Join(dir, f.Name()), "err", err)
				continue
			}
			s.monitored[f.Name()] = r
		case f.Name() == announcedFile:
			if err := s.read(f.Name(), &s.announced); err != nil {
				log.Error("announcement not read: every host will be told again", "file", filepath.Join(dir, f.Name()), "err", err)
			}
		case strings.HasSuffix(f.Name(), ".new"):
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	return s, nil
}

func (s *Store) read(name string, v any) error {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// write puts v into the file: under another name first, then on disk, then in place.
func (s *Store) write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, name)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		os.Remove(path + ".new")
		return err
	}
	return s.sync()
}

func (s *Store) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fileOf(id *nsm.MonID) string {
	b, _ := xdr.Marshal(nil, id)
	sum := sha256.Sum256(b)
	return prefix + hex.EncodeToString(sum[:16])
}

// Add keeps a registration, in place of one with the same id.
func (s *Store) Add(m nsm.Mon) error {
	name := fileOf(&m.ID)
	r := Registration{m, s.boot}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, there := s.monitored[name]
	if there && old == r {
		return nil
	}
	if !there && len(s.monitored) >= maxRegistrations {
		return fmt.Errorf("%d hosts are monitored already", len(s.monitored))
	}
	if err := s.write(name, r); err != nil {
		return err
	}
	s.monitored[name] = r
	return nil
}

// Remove drops the registrations that match, and returns their ids.
func (s *Store) Remove(match func(nsm.MonID) bool) (gone []nsm.MonID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range s.monitored {
		if !match(r.ID) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return gone, err
		}
		delete(s.monitored, name)
		gone = append(gone, r.ID)
	}
	if gone == nil {
		return nil, nil
	}
	return gone, s.sync()
}

// List returns the registrations.
func (s *Store) List() []Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	rs := make([]Registration, 0, len(s.monitored))
	for _, r := range s.monitored {
		rs = append(rs, r)
	}
	return rs
}

// Len is how many there are.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.monitored)
}

// Earlier returns the registrations of earlier boots of this host. Their registrants died with it.
func (s *Store) Earlier() []Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rs []Registration
	for _, r := range s.monitored {
		if r.Boot != s.boot {
			rs = append(rs, r)
		}
	}
	return rs
}

// Announced returns the last announcement, as far as it came.
func (s *Store) Announced() Announcement {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.announced
	a.Pending = slices.Clone(a.Pending)
	return a
}

// Announce keeps a new announcement. The registrations of earlier boots are in it, and go.
func (s *Store) Announce(a Announcement) error {
	s.mu.Lock()
	a.Pending = slices.Clone(a.Pending)
	err := s.write(announcedFile, a)
	s.announced = a
	s.mu.Unlock()
	if err != nil {
		return err
	}
	earlier := map[nsm.MonID]bool{}
	for _, r := range s.Earlier() {
		earlier[r.ID] = true
	}
	_, err = s.Remove(func(id nsm.MonID) bool { return earlier[id] })
	return err
}

// Reached notes that a host is done with, in the announcement of this state.
func (s *Store) Reached(state int32, h Target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.announced.State != state {
		return nil
	}
	s.announced.Pending = slices.DeleteFunc(s.announced.Pending, func(t Target) bool { return t == h })
	return s.write(announcedFile, s.announced)
}
