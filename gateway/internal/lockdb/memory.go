package lockdb

import (
	"maps"
	"slices"
	"sync"
)

// Memory is a Store for tests and for a first try. Its contents live as long as the value: closing and opening a vault on it again is a restart.
type Memory struct {
	mu   sync.Mutex // guards the fields below
	data map[string][]byte
}

// NewMemory is an empty Memory.
func NewMemory() *Memory { return &Memory{data: map[string][]byte{}} }

// Commit never fails.
func (m *Memory) Commit(batch []KV) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kv := range batch {
		if kv.Value == nil {
			delete(m.data, string(kv.Key))
		} else {
			m.data[string(kv.Key)] = kv.Value
		}
	}
	return nil
}

// Each goes through a copy, in the order of the keys.
func (m *Memory) Each(fn func(key, value []byte) error) error {
	m.mu.Lock()
	data := maps.Clone(m.data)
	m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(data)) {
		if err := fn([]byte(k), data[k]); err != nil {
			return err
		}
	}
	return nil
}

// Sync does nothing.
func (m *Memory) Sync() error { return nil }

// Close does nothing.
func (m *Memory) Close() error { return nil }
