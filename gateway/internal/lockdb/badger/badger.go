// Package badger keeps the vault in BadgerDB. It is the only package that imports it.
//
// No locks.
package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"dittofs/gateway/internal/lockdb"
)

// Store is a lockdb.Store in a directory.
type Store struct {
	db      *db.DB
	dir     string
	turns   atomic.Int64          // new logs
	named   int64                 // of them, those whose names are on disk
	turnErr atomic.Pointer[error] // why the log before a new one was not synced
}

var _ lockdb.Store = (*Store)(nil)

// ErrInUse says that another process has the database open.
var ErrInUse = errors.New("a running gateway has this database open")

// Open opens or creates the database in dir, which one process at a time can have, with a log before it. log may be nil.
func Open(dir string, log *slog.Logger) (lockdb.Store, error) {
	s, err := open(dir, log)
	if err != nil {
		return nil, err
	}
	l, err := lockdb.OpenLog(filepath.Join(dir, "told"), s)
	if err != nil {
		s.Close()
		return nil, err
	}
	return l, nil
}

func open(dir string, log *slog.Logger) (s *Store, err error) {
	// The engine panics over some kinds of damage.
	defer caught(&err)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// A lock database is small and is written more than read. Values stay in the tree (they are far below the threshold of 1 MB), so the
	// value log stays empty and needs no collection. One writer: no conflicts to be detected. When it syncs, sync.go says.
	s = &Store{dir: dir, named: -1}
	o := db.DefaultOptions(dir).
		WithSyncWrites(false).
		WithMemTableSize(8 << 20).
		WithNumMemtables(2).
		WithValueLogFileSize(16 << 20).
		WithBlockCacheSize(8 << 20).
		WithIndexCacheSize(4 << 20).
		WithNumCompactors(2).
		WithCompression(options.None).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithLogger(logger{log, s})
	if err := checkTables(dir, o); err != nil {
		return nil, err
	}
	d, err := db.Open(o)
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	s.db = d
	return s, nil
}

// Commit is one transaction, in the log before it returns.
func (s *Store) Commit(batch []lockdb.KV) (err error) {
	defer caught(&err)
	if err := s.turnErr.Load(); err != nil {
		return *err
	}
	t := s.db.NewTransaction(true)
	defer t.Discard()
	for _, kv := range batch {
		if kv.Value == nil {
			err = t.Delete(kv.Key)
		} else {
			err = t.Set(kv.Key, kv.Value)
		}
		if err != nil {
			return err
		}
	}
	return t.Commit()
}

// Each reads a snapshot.
func (s *Store) Each(fn func(key, value []byte) error) (err error) {
	defer caught(&err)
	return s.db.View(func(t *db.Txn) error {
		it := t.NewIterator(db.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if err := item.Value(func(v []byte) error { return fn(item.Key(), v) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close flushes and unlocks the directory.
func (s *Store) Close() (err error) {
	defer caught(&err)
	return s.db.Close()
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("badger: %v", p)
	}
}

// logger passes on what the engine has to complain of; the rest is for debugging.
type logger struct {
	log *slog.Logger
	s   *Store
}

func (l logger) say(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "badger", "says", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l logger) Errorf(f string, a ...any)   { l.say(slog.LevelError, f, a) }
func (l logger) Warningf(f string, a ...any) { l.say(slog.LevelWarn, f, a) }
func (l logger) Infof(f string, a ...any)    { l.say(slog.LevelDebug, f, a) }
func (l logger) Debugf(f string, a ...any) {
	if strings.HasPrefix(f, turning) {
		l.s.turn()
	}
	l.say(slog.LevelDebug, f, a)
}
