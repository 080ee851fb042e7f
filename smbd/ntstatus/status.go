// Package ntstatus names the NTSTATUS codes that SMB answers with, and finds the code for a Go error.
//
// No locks.
package ntstatus

import "fmt"

// Status is an NTSTATUS, [MS-ERREF] 2.3. It is an error, so that a handler can return the code that it means; Success is one too, and
// is never returned as an error.
type Status uint32

// String is the standard's name.
func (s Status) String() string {
	if n := names[s]; n != "" {
		return n
	}
	return fmt.Sprintf("NTSTATUS(0x%08X)", uint32(s))
}

func (s Status) Error() string { return s.String() }

// IsError reports whether s has severity ERROR. Warnings such as STATUS_BUFFER_OVERFLOW carry a result.
func (s Status) IsError() bool { return s>>30 == 3 }
