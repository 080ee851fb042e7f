// Package record is the vault's records as they stand on disk. Field numbers are for ever; a field that goes is reserved.
//
// No locks.
package record

//go:generate protoc -I ../../../.. --go_out=../../../.. --go_opt=module=dittofs gateway/internal/lockdb/record/record.proto
