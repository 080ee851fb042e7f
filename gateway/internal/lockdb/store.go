package lockdb

// KV puts a value under a key, or deletes the key where Value is nil.
type KV struct {
	Key, Value []byte
}

// Store keeps keys and values. One vault uses it, Each first, and one goroutine at a time, but for Sync, which may run beside the others.
type Store interface {
	// Commit writes the batch as a whole, so that it outlives the process, or returns an error; then it is not known whether it is there. No
	// key stands twice in a batch, and a batch has at most maxBatch entries and maxBatchBytes bytes, or a single entry. The store may keep keys
	// and values.
	Commit(batch []KV) error
	// Sync makes every batch that was committed before durable: it outlives the host. Whatever the host loses of what was committed later, a
	// batch is lost with all that came after it.
	Sync() error
	// Each calls fn with every key and value, in the order of the keys. They are valid until fn returns.
	Each(fn func(key, value []byte) error) error
	// Close lets go of the store. What was committed stays.
	Close() error
}

//go:generate protoc -I ../../.. --go_out=../../.. --go_opt=module=dittofs gateway/internal/lockdb/record.proto
