package fuzz

import (
	"encoding/binary"
	"reflect"
	"slices"
)

// mutate changes arguments: one of them at least, and the others now and then.
func (f *F) mutate(seed []reflect.Value) []reflect.Value {
	in := slices.Clone(seed)
	must := f.rand.IntN(len(in))
	for i, a := range in {
		if i != must && f.rand.IntN(4) != 0 {
			continue
		}
		v := reflect.New(a.Type()).Elem()
		switch a.Kind() {
		case reflect.Bool:
			v.SetBool(!a.Bool())
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			v.SetInt(int64(f.number(uint64(a.Int()), 0)))
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			v.SetUint(f.number(a.Uint(), 0))
		case reflect.String:
			v.SetString(string(f.bytes([]byte(a.String()))))
		case reflect.Slice:
			v.SetBytes(f.bytes(a.Bytes()))
		default:
			v.Set(a)
		}
		in[i] = v
	}
	return in
}

// number is a value that is likely to hurt where value stood, in a message of length bytes.
func (f *F) number(value uint64, length int) uint64 {
	switch f.rand.IntN(8) {
	case 0:
		return value + 1
	case 1:
		return value - 1
	case 2:
		return value ^ 1<<f.rand.IntN(64)
	case 3:
		return uint64(length) + f.rand.Uint64N(9) - 4
	case 4:
		return 1<<f.rand.IntN(64) - f.rand.Uint64N(2)
	case 5:
		return ^f.rand.Uint64N(16) // as a length it wraps
	case 6:
		return f.rand.Uint64N(16)
	}
	return f.rand.Uint64()
}

// bytes returns b changed by one to four steps.
func (f *F) bytes(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + f.rand.IntN(4) {
		b = f.step(b)
	}
	return b
}

// at is a place in b, its end among them.
func (f *F) at(b []byte) int { return f.rand.IntN(len(b) + 1) }

// span is a part of b, mostly a short one.
func (f *F) span(b []byte) (from, to int) {
	from = f.at(b)
	if n := len(b) - from; f.rand.IntN(2) == 0 {
		return from, from + f.rand.IntN(min(n, 16)+1)
	} else {
		return from, from + f.rand.IntN(n+1)
	}
}

func (f *F) step(b []byte) []byte {
	r := f.rand
	switch r.IntN(8) {
	case 0: // a bit
		if len(b) > 0 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
	case 1: // a byte
		if len(b) > 0 {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
	case 2, 3: // a count, length or offset, in either order of bytes
		f.field(b)
	case 4: // cut off
		b = b[:f.at(b)]
	case 5: // a part is missing
		i, j := f.span(b)
		b = slices.Delete(b, i, j)
	case 6: // a part comes twice
		i, j := f.span(b)
		b = slices.Insert(b, f.at(b), slices.Clone(b[i:j])...)
	case 7: // a part of another
		if other := f.pool[r.IntN(len(f.pool))]; len(b) < 1<<16 {
			i, j := f.span(other)
			if k := f.at(b); r.IntN(2) == 0 {
				copy(b[k:], other[i:j])
			} else {
				b = slices.Insert(b, k, slices.Clone(other[i:j])...)
			}
		}
	}
	return b
}

// field puts a number where one may stand: aligned as often as not.
func (f *F) field(b []byte) {
	size := 1 << (1 + f.rand.IntN(3))
	if len(b) < size {
		return
	}
	i := f.rand.IntN(len(b) - size + 1)
	if f.rand.IntN(2) == 0 {
		i &^= size - 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if f.rand.IntN(2) == 0 {
		order = binary.BigEndian
	}
	switch p := b[i:]; size {
	case 2:
		order.PutUint16(p, uint16(f.number(uint64(order.Uint16(p)), len(b))))
	case 4:
		order.PutUint32(p, uint32(f.number(uint64(order.Uint32(p)), len(b))))
	case 8:
		order.PutUint64(p, f.number(order.Uint64(p), len(b)))
	}
}
