package badger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The engine writes its logs through shared memory maps: what is committed is the kernel's, and outlives the process without a sync. It would sync its log
// under the lock that writers need, so it is done here, beside it.
//
// The log of a full table is given up for a new one. Were the new one's first batch on disk before the old one's last, a crash of the host would take batches
// from the middle. So the old log is synced before the new one begins: the engine says when.

// turning is how the engine says that it is about to begin a new log.
const turning = "Flushing memtable, mt.size="

// Sync makes what was committed durable.
func (s *Store) Sync() error {
	if err := s.turnErr.Load(); err != nil {
		return *err
	}
	if err := syncLogs(s.dir); err != nil {
		return err
	}
	begun := s.turns.Load()
	if begun == s.named {
		return nil
	}
	// A new log is lost with its name.
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return err
	}
	s.named = begun
	return nil
}

// turn is called with the engine's lock held, before it begins a new log.
func (s *Store) turn() {
	s.turns.Add(1)
	if err := syncLogs(s.dir); err != nil {
		s.turnErr.CompareAndSwap(nil, &err)
	}
}

// syncLogs syncs every log in dir. One that goes meanwhile lies in a table, which is synced.
func syncLogs(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !strings.HasSuffix(n, ".mem") {
			continue
		}
		f, err := os.Open(filepath.Join(dir, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		err = unix.Fdatasync(int(f.Fd()))
		f.Close()
		if err != nil {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
	return nil
}
