package wire

import "encoding/binary"

// Append8 appends a byte.
func Append8(b []byte, v uint8) []byte { return append(b, v) }

// Append16 appends 2 bytes.
func Append16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }

// Append32 appends 4 bytes.
func Append32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// Append64 appends 8 bytes.
func Append64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// AppendBool appends a byte, 1 for true.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendFiletime appends a FILETIME.
func AppendFiletime(b []byte, t Filetime) []byte { return Append64(b, uint64(t)) }

var zeros [64]byte

// AppendZero appends n bytes of zero.
func AppendZero(b []byte, n int) []byte {
	for ; n > len(zeros); n -= len(zeros) {
		b = append(b, zeros[:]...)
	}
	return append(b, zeros[:n]...)
}

// Pad appends zeros until len(b)-start is a multiple of n.
func Pad(b []byte, start, n int) []byte {
	if r := (len(b) - start) % n; r != 0 {
		return AppendZero(b, n-r)
	}
	return b
}

// Put16 overwrites 2 bytes.
func Put16(b []byte, v uint16) { binary.LittleEndian.PutUint16(b, v) }

// Put32 overwrites 4 bytes.
func Put32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }

// Put64 overwrites 8 bytes.
func Put64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }
