package lockdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// HighWaterFile stands in the state directory and says how far the database had come. A database that ends earlier has lost what was acknowledged.
const HighWaterFile = "seq.hw"

// It has two slots for what is synced, used in turn, so that a torn write leaves the other one, and a third for what is written: "DFHW", seq, CRC-32C.
const (
	hwMagic   = "DFHW"
	hwSize    = 4 + 8 + 4
	hwSlot    = 4096
	hwWritten = 2 * hwSlot
	hwEvery   = 64 // marks between two syncs, where each commit leaves one; in between, the page cache has it, which outlives us but not the host
)

// marks are how far the database had come.
type marks struct {
	synced  uint64 // on disk: it must be there whatever happened
	written uint64 // in the page cache at least: it must be there as long as the host has not been started anew
}

// due is where the database must not end before: last is the boot that it was written in, now is this one.
func (m marks) due(last []byte, now string) uint64 {
	if string(last) == now {
		return max(m.synced, m.written)
	}
	return m.synced
}

type highWater struct {
	f        *os.File
	slot     int64
	unsynced int
	record   [hwSize]byte // the written one's
}

// openHighWater returns the highest marks in the file. found is false where there was no file.
func openHighWater(dir string) (h *highWater, high marks, found bool, err error) {
	path := filepath.Join(dir, HighWaterFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	found = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		f, err = createHighWater(dir, path)
	}
	if err != nil {
		return nil, marks{}, found, fmt.Errorf("lockdb: %w", err)
	}
	h = &highWater{f: f}
	copy(h.record[:], hwMagic)
	valid := false
	for slot := range int64(3) {
		b := make([]byte, hwSize)
		if _, err := f.ReadAt(b, slot*hwSlot); err != nil && err != io.EOF {
			f.Close()
			return nil, marks{}, found, fmt.Errorf("lockdb: %w", err)
		}
		if string(b[:4]) != hwMagic || binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
			continue
		}
		s := binary.LittleEndian.Uint64(b[4:])
		if slot*hwSlot == hwWritten {
			high.written = s
			continue
		}
		if !valid || s >= high.synced {
			high.synced, h.slot = s, 1-slot
		}
		valid = true
	}
	if found && !valid {
		return h, marks{}, found, fmt.Errorf("lockdb: %s: %w", path, ErrDamaged)
	}
	return h, high, found, nil
}

// createHighWater makes a file that says 0. It appears whole, so that an empty one is damage and not a first start that was cut off.
func createHighWater(dir, path string) (*os.File, error) {
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(hwRecord(0)); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func hwRecord(seq uint64) []byte {
	b := append([]byte(hwMagic), make([]byte, hwSize-len(hwMagic))...)
	fillRecord(b, seq)
	return b
}

func fillRecord(b []byte, seq uint64) {
	binary.LittleEndian.PutUint64(b[4:], seq)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], castagnoli))
}

// write marks seq, which the store has committed already.
func (h *highWater) write(seq uint64) error {
	if h == nil {
		return nil
	}
	fillRecord(h.record[:], seq)
	if _, err := h.f.WriteAt(h.record[:], hwWritten); err != nil {
		return fmt.Errorf("lockdb: %w", err)
	}
	return nil
}

// sync marks seq, which the store has synced already; now: the mark itself must be on disk too.
func (h *highWater) sync(seq uint64, now bool) error {
	if h == nil {
		return nil
	}
	if _, err := h.f.WriteAt(hwRecord(seq), h.slot*hwSlot); err != nil {
		return fmt.Errorf("lockdb: %w", err)
	}
	h.unsynced++
	if !now && h.unsynced < hwEvery {
		return nil
	}
	// The slot that is synced stays, and the other one is written over from now on.
	h.slot, h.unsynced = 1-h.slot, 0
	if err := unix.Fdatasync(int(h.f.Fd())); err != nil {
		return fmt.Errorf("lockdb: %s: %w", h.f.Name(), err)
	}
	return nil
}

func (h *highWater) close() error {
	if h == nil {
		return nil
	}
	return h.f.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
