package badger

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"dittofs/gateway/internal/lockdb"
)

// Each time the engine begins a new log, it says so before, and the old one is synced.
func TestTurn(t *testing.T) {
	dir := t.TempDir()
	s, err := open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := func() string {
		logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
		if err != nil || len(logs) == 0 {
			t.Fatal(err, logs)
		}
		return logs[len(logs)-1]
	}
	begun, is := int64(0), last()
	for n := uint64(0); begun < 3; n++ {
		if err := s.Commit([]lockdb.KV{{Key: binary.BigEndian.AppendUint64([]byte("r"), n), Value: make([]byte, 256<<10)}}); err != nil {
			t.Fatal(err)
		}
		if now := last(); now != is {
			is = now
			begun++
		}
		if told := s.turns.Load(); told != begun {
			t.Fatalf("commit %d: %d new logs, and told of %d", n, begun, told)
		}
	}
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
