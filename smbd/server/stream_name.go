package server

import (
	"strings"
	"unicode/utf8"

	"dittofs/smbd/ntstatus"
)

// Stream names, [MS-FSCC] 2.1.5: FILE:STREAM:TYPE, where the type may be missing.

// streamName is what a client's path says about a stream.
type streamName struct {
	name  string // "" for the file itself
	given bool   // also where it is the unnamed stream, FILE::$DATA
}

// maxStreamName is how long a name may be so that it fits into an extended attribute's. xattr(7).
const maxStreamName = 255 - len(streamPrefix) - len(streamType)

// cutStream takes the stream off the last component of a path.
func cutStream(path string) (file string, s streamName, err error) {
	at := strings.LastIndexByte(path, '\\') + 1
	last, rest, ok := strings.Cut(path[at:], ":")
	if !ok {
		return path, s, nil
	}
	s.given = true
	name, kind, typed := strings.Cut(rest, ":")
	switch {
	case typed && !strings.EqualFold(kind, streamType[1:]), name == "" && !typed:
		return "", s, ntstatus.ObjectNameInvalid
	}
	if name != "" {
		if s.name, ok = diskStream(name); !ok {
			return "", s, ntstatus.ObjectNameInvalid
		}
	}
	return path[:at] + last, s, nil
}

// wireStream is the name that a client sees for a stored one. Where Samba maps names it stores a colon, which no client can send, as it is.
func wireStream(stored string) string { return strings.ReplaceAll(stored, ":", wireName(":")) }

// diskStream is the name that a stream is stored under. All characters go but : / \ and zero. [MS-FSCC] 2.1.5.3.
func diskStream(name string) (string, bool) {
	return name, len(name) <= maxStreamName && utf8.ValidString(name) && !strings.ContainsAny(name, ":/\\\x00")
}
