package server

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Names on disk are bytes, names on the wire are UTF-16 without " * : < > ? \ | and control characters ([MS-FSCC] 2.1.5). The two are mapped
// one to one:
//
//   - a character that Windows reserves stands on the wire as the private-use character that Services for Macintosh, macOS and the Linux
//     client use for it: U+F001..U+F01F for controls, U+F020..U+F027 for " * : < > ? \ |, U+F028 and U+F029 for a last space and dot;
//   - a byte that is not UTF-8, or that belongs to one of these private-use characters, stands as U+F700 + byte.
//
// So every name on disk has exactly one name on the wire, and comes back as the same bytes.
const (
	reserved  = "\"*:<>?\\|"
	reservedA = 0xF020 // of reserved[0]
	lastSpace = 0xF028
	lastDot   = 0xF029
	rawByte   = 0xF700
)

func privateUse(r rune) bool {
	return r > 0xF000 && r <= lastDot || r >= rawByte+0x80 && r <= rawByte+0xFF
}

// wireName is the name that a client sees for the name on disk.
func wireName(disk string) string {
	plain := len(disk) > 0 && disk[len(disk)-1] != ' ' && disk[len(disk)-1] != '.'
	for i := 0; i < len(disk) && plain; i++ {
		plain = disk[i] >= 0x20 && disk[i] < 0x80 && strings.IndexByte(reserved, disk[i]) < 0
	}
	if plain {
		return disk
	}
	var b strings.Builder
	for i := 0; i < len(disk); {
		r, n := utf8.DecodeRuneInString(disk[i:])
		last := i+n == len(disk)
		switch {
		case r == utf8.RuneError && n == 1 || privateUse(r):
			for _, c := range []byte(disk[i : i+n]) {
				b.WriteRune(rawByte + rune(c))
			}
		case r < 0x20:
			b.WriteRune(0xF000 + r)
		case last && r == ' ':
			b.WriteRune(lastSpace)
		case last && r == '.':
			b.WriteRune(lastDot)
		case r < 0x80 && strings.IndexByte(reserved, byte(r)) >= 0:
			b.WriteRune(reservedA + rune(strings.IndexByte(reserved, byte(r))))
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// diskName is the name on disk for one component of a client's path. ok is false for a name that cannot exist: [MS-FSCC] 2.1.5.2.
func diskName(wire string) (disk string, ok bool) {
	if wire == "" || !utf8.ValidString(wire) {
		return "", false
	}
	var b strings.Builder
	for _, r := range wire {
		switch {
		case r < 0x20 || r == '/' || r < 0x80 && strings.IndexByte(reserved, byte(r)) >= 0:
			return "", false
		case r > 0xF000 && r < reservedA:
			b.WriteByte(byte(r))
		case r >= reservedA && r < lastSpace:
			b.WriteByte(reserved[r-reservedA])
		case r == lastSpace:
			b.WriteByte(' ')
		case r == lastDot:
			b.WriteByte('.')
		case r >= rawByte+0x80 && r <= rawByte+0xFF:
			b.WriteByte(byte(r - rawByte))
		default:
			b.WriteRune(r)
		}
	}
	disk = b.String()
	return disk, disk != "." && disk != ".." && len(disk) <= 255
}

// fold is what names have in common that differ only in case, or in how a letter and its accents are composed: Unicode's form NFC of what
// foldCase makes, because macOS and Linux write the same name in two ways.
func fold(name string) string {
	f := foldCase(name)
	for i := 0; i < len(f); i++ {
		if f[i] >= utf8.RuneSelf {
			return norm.NFC.String(f)
		}
	}
	return f
}

// foldCase makes upper case character by character, as NTFS has it in its upcase table. Bytes that are no UTF-8 stay as they are.
func foldCase(name string) string {
	ascii, upper := true, true
	for i := 0; i < len(name); i++ {
		ascii = ascii && name[i] < utf8.RuneSelf
		upper = upper && (name[i] < 'a' || name[i] > 'z')
	}
	switch {
	case ascii && upper:
		return name
	case ascii:
		return strings.ToUpper(name)
	}
	b := make([]byte, 0, len(name)+8)
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, name[i])
		} else {
			b = utf8.AppendRune(b, unicode.ToUpper(r))
		}
		i += n
	}
	return string(b)
}

// sameName reports whether two names on disk differ at most in case and composition.
func sameName(a, b string) bool { return a == b || fold(a) == fold(b) }
