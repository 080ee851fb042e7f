package fscc

import (
	"unicode"

	"dittofs/smbd/wire"
)

// The wildcards, [MS-FSA] 2.1.4.4. Clients translate what a user typed into the last three.
const (
	star    = '*' // any characters
	anyChar = '?' // one character
	dosStar = '<' // any characters but the name's last period
	dosQM   = '>' // one character, or none at a period or the name's end
	dosDot  = '"' // a period, or the name's end
)

// MaxPattern is the longest pattern in 16-bit units: names have at most 255.
const MaxPattern = 1024

// HasWildcard reports whether a pattern is more than a name.
func HasWildcard(pattern string) bool {
	for i := range len(pattern) {
		switch pattern[i] {
		case star, anyChar, dosStar, dosQM, dosDot:
			return true
		}
	}
	return false
}

// Match reports whether a name matches a pattern, [MS-FSA] 2.1.4.4. Both are taken as 16-bit units, folded one by one where case does
// not count. Its time is at most the product of the two lengths, and a pattern over MaxPattern matches nothing.
func Match(pattern, name string, ignoreCase bool) bool {
	if pattern == "*" {
		return true
	}
	var pbuf, nbuf [256]uint16
	p := units(pbuf[:0], pattern, ignoreCase)
	if len(p) > MaxPattern {
		return false
	}
	n := units(nbuf[:0], name, ignoreCase)
	lastDot := -1
	for i, u := range n {
		if u == '.' {
			lastDot = i
		}
	}
	// at[i] says that p[:i] matches what was read of the name. Each step reads one unit; i only grows within a step.
	var buf [2][257]bool
	at, next := buf[0][:], buf[1][:]
	if len(p) >= len(at) {
		at, next = make([]bool, len(p)+1), make([]bool, len(p)+1)
	}
	at = at[:len(p)+1]
	next = next[:len(p)+1]
	at[0] = true
	for pos := 0; ; pos++ {
		end := pos == len(n)
		dot := end || n[pos] == '.'
		clear(next)
		live := false
		for i := range p {
			if !at[i] {
				continue
			}
			skip, eat, stay := false, false, false
			switch u := p[i]; u {
			case star:
				skip, stay = true, true
			case dosStar:
				skip, stay = true, pos != lastDot
			case dosQM:
				skip, eat = dot, !dot
			case dosDot:
				skip, eat = end, dot
			case anyChar:
				eat = true
			default:
				eat = !end && u == n[pos]
			}
			if skip {
				at[i+1] = true
			}
			if !end && eat {
				next[i+1], live = true, true
			}
			if !end && stay {
				next[i], live = true, true
			}
		}
		if end {
			return at[len(p)]
		}
		if !live {
			return false
		}
		at, next = next, at
	}
}

// EqualFold reports whether two names are one where case does not count.
func EqualFold(a, b string) bool {
	if a == b {
		return true
	}
	var abuf, bbuf [256]uint16
	x, y := units(abuf[:0], a, true), units(bbuf[:0], b, true)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

// Fold returns the same string for all names that are one where case does not count.
func Fold(name string) string {
	var buf [256]uint16
	b := make([]byte, 0, 2*len(name))
	for _, u := range units(buf[:0], name, true) {
		b = wire.Append16(b, u)
	}
	return string(b)
}

// units appends a string's 16-bit units, in upper case where fold says so. Surrogates have no case.
func units(u []uint16, s string, fold bool) []uint16 {
	var buf [1024]byte
	b := wire.AppendUTF16(buf[:0], s)
	for i := 0; i < len(b); i += 2 {
		c := uint16(b[i]) | uint16(b[i+1])<<8
		switch {
		case !fold:
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c >= 0x80:
			if r := unicode.ToUpper(rune(c)); r < 0x10000 {
				c = uint16(r)
			}
		}
		u = append(u, c)
	}
	return u
}
