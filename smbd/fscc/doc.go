// Package fscc is the syntax of [MS-FSCC]: what QUERY_INFO, SET_INFO, QUERY_DIRECTORY and CHANGE_NOTIFY carry in their buffers, the
// control codes of IOCTL, and the matching of names against patterns.
//
// Parse takes the buffer alone, Append appends to it. A buffer may be longer than its structure. Names that are not UTF-16 fail with
// wire.ErrUTF16.
//
// No locks.
package fscc
