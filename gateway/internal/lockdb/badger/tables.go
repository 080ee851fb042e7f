package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"dittofs/gateway/internal/lockdb"
)

// checkTables checks every table that the manifest names, from end to end, before the engine opens them: it reads them in goroutines of its own, where a damaged
// one ends the process. Tables that the manifest doesn't name are leftovers of a crash, which the engine removes.
func checkTables(dir string, o db.Options) error {
	f, err := os.Open(filepath.Join(dir, db.ManifestFilename))
	if err != nil {
		return nil // a new database, or the engine says what is wrong
	}
	defer f.Close()
	// The engine's lock is on the directory. While another process holds it, tables come and go.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	m, _, err := db.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", f.Name(), lockdb.ErrDamaged, err)
	}
	for id := range m.Tables {
		path := table.NewFilename(id, dir)
		if err := checkTable(path); err != nil {
			return fmt.Errorf("%s: %w: %w", path, lockdb.ErrDamaged, err)
		}
	}
	return nil
}

func checkTable(path string) (err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// The index is a flatbuffer: its checksum says that it is the engine's, and the engine's offsets are good.
	defer caught(&err)
	index, rest, err := footer(b, true)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	t := fb.GetRootAsTableIndex(index, 0)
	var at fb.BlockOffset
	for i := range t.OffsetsLength() {
		if !t.Offsets(&at, i) {
			return errors.New("index: it ends early")
		}
		from, n := uint64(at.Offset()), uint64(at.Len())
		if from+n > uint64(len(rest)) {
			return fmt.Errorf("block %d lies beyond the end", i)
		}
		if _, _, err := footer(rest[from:from+n], false); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// footer takes a part of a table, which ends with its checksum and the checksum's length, and checks it. sized: the part's own length stands before the checksum,
// and it begins where that says.
func footer(b []byte, sized bool) (part, rest []byte, err error) {
	sum, b, ok := last(b)
	if !ok {
		return nil, nil, errors.New("cut off")
	}
	var c pb.Checksum
	if err := proto.Unmarshal(sum, &c); err != nil {
		return nil, nil, err
	}
	part = b
	if sized {
		if part, rest, ok = last(b); !ok {
			return nil, nil, errors.New("cut off")
		}
	}
	return part, rest, y.VerifyChecksum(part, &c)
}

// last takes bytes off the end of b whose length stands behind them.
func last(b []byte) (tail, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n, b := uint64(binary.BigEndian.Uint32(b[len(b)-4:])), b[:len(b)-4]
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	at := uint64(len(b)) - n
	return b[at:], b[:at], true
}
