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

// It has two slots, written in turn, so that a torn write leaves the other one: "DFHW", seq, CRC-32C.
const (
	hwMagic = "DFHW"
	hwSize  = 4 + 8 + 4
	hwSlot  = 4096
	hwEvery = 64 // commits between two syncs; in between, the page cache has it, which outlives us but not the host
)

type highWater struct {
	f        *os.File
	slot     int64
	unsynced int
}

// openHighWater returns the highest seq in the file. found is false where there was no file.
func openHighWater(dir string) (h *highWater, seq uint64, found bool, err error) {
	path := filepath.Join(dir, HighWaterFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	found = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		f, err = createHighWater(dir, path)
	}
	if err != nil {
		return nil, 0, found, fmt.Errorf("lockdb: %w", err)
	}
	h = &highWater{f: f}
	valid := false
	for slot := range int64(2) {
		b := make([]byte, hwSize)
		if _, err := f.ReadAt(b, slot*hwSlot); err != nil && err != io.EOF {
			f.Close()
			return nil, 0, found, fmt.Errorf("lockdb: %w", err)
		}
		if string(b[:4]) != hwMagic || binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
			continue
		}
		if s := binary.LittleEndian.Uint64(b[4:]); !valid || s >= seq {
			seq, h.slot = s, 1-slot
		}
		valid = true
	}
	if found && !valid {
		return h, 0, found, fmt.Errorf("lockdb: %s: %w", path, ErrDamaged)
	}
	return h, seq, found, nil
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
	b := append([]byte(hwMagic), make([]byte, 12)...)
	binary.LittleEndian.PutUint64(b[4:], seq)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:12], castagnoli))
	return b
}

// write records seq, which must be durable in the store already.
func (h *highWater) write(seq uint64, sync bool) error {
	if h == nil {
		return nil
	}
	if _, err := h.f.WriteAt(hwRecord(seq), h.slot*hwSlot); err != nil {
		return fmt.Errorf("lockdb: %w", err)
	}
	h.unsynced++
	if !sync && h.unsynced < hwEvery {
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
