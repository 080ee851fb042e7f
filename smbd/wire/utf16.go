package wire

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Names are any bytes on Linux and any 16-bit units in SMB. The two are matched one to one:
//
//	valid UTF-8                      ↔  the same characters in UTF-16
//	a byte that is not UTF-8, 80..FF ↔  one stray low surrogate, DC80..DCFF
//
// So each name of a directory has its own image that leads back to it. Units that are no such image (other stray surrogates, or an
// escape of bytes that would be UTF-8 together) are refused: a client cannot make a name that it would read back as another.
const escape = 0xDC00

// String decodes UTF-16LE.
func String(b []byte) (string, error) {
	if len(b)%2 != 0 {
		return "", ErrValue
	}
	s := make([]byte, 0, len(b)/2+8)
	escaped := false
	for i := 0; i < len(b); i += 2 {
		u := rune(b[i]) | rune(b[i+1])<<8
		switch {
		case !utf16.IsSurrogate(u):
			s = utf8.AppendRune(s, u)
		case u < 0xDC00 && i+4 <= len(b) && b[i+3]&0xFC == 0xDC:
			s = utf8.AppendRune(s, utf16.DecodeRune(u, rune(b[i+2])|rune(b[i+3])<<8))
			i += 2
		case u >= escape+0x80 && u <= escape+0xFF:
			s = append(s, byte(u-escape))
			escaped = true
		default:
			return "", ErrUTF16
		}
	}
	out := string(s)
	if escaped && string(AppendUTF16(nil, out)) != string(b) {
		return "", ErrUTF16
	}
	return out, nil
}

// AppendUTF16 appends s as UTF-16LE.
func AppendUTF16(b []byte, s string) []byte {
	for i, c := range s {
		switch {
		case c == utf8.RuneError && !isReplacement(s[i:]):
			u := escape + rune(s[i])
			b = append(b, byte(u), byte(u>>8))
		case c < 0x10000:
			b = append(b, byte(c), byte(c>>8))
		default:
			h, l := utf16.EncodeRune(c)
			b = append(b, byte(h), byte(h>>8), byte(l), byte(l>>8))
		}
	}
	return b
}

// isReplacement tells a real U+FFFD from what range makes of a byte that is not UTF-8.
func isReplacement(s string) bool { return len(s) >= 3 && s[:3] == "\uFFFD" }

// UTF16Len is the number of bytes that AppendUTF16 appends.
func UTF16Len(s string) int {
	n := 0
	for _, c := range s {
		if c >= 0x10000 {
			n += 2
		}
		n += 2
	}
	return n
}
