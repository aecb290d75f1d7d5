package strictjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// unhex is a hexadecimal digit's value, -1 for any other byte.
var unhex = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range 10 {
		t['0'+i] = int8(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = int8(10+i), int8(10+i)
	}
	return t
}()

// Text is the value of a scanned string, raw with its quotes; "" for nil. It shares raw's memory unless there are
// escapes. A lone surrogate reads as U+FFFD.
func Text(raw []byte) string {
	if len(raw) < 2 {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return view(raw[1 : len(raw)-1])
	}
	return string(AppendText(make([]byte, 0, len(raw)), raw))
}

// AppendText appends the value of a scanned string, raw with its quotes.
func AppendText(dst, raw []byte) []byte {
	if len(raw) < 2 {
		return dst
	}
	raw = raw[1 : len(raw)-1]
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i+1:]
		switch raw[0] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			dst, raw = appendEscaped(dst, raw)
		default:
			dst = append(dst, raw[0])
		}
		raw = raw[1:]
	}
}

// appendEscaped decodes the \uXXXX at raw[0] == 'u', with the second half of a surrogate pair. What it returns begins
// with the last byte it read.
func appendEscaped(dst, raw []byte) ([]byte, []byte) {
	r := hex4(raw[1:])
	raw = raw[4:]
	if utf16.IsSurrogate(r) {
		if len(raw) >= 7 && raw[1] == '\\' && raw[2] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(raw[3:])); pair != utf8.RuneError {
				return utf8.AppendRune(dst, pair), raw[6:]
			}
		}
		r = utf8.RuneError
	}
	return utf8.AppendRune(dst, r), raw
}

func hex4(b []byte) rune {
	return rune(unhex[b[0]])<<12 | rune(unhex[b[1]])<<8 | rune(unhex[b[2]])<<4 | rune(unhex[b[3]])
}

// plain says which bytes a JSON string holds as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Only what RFC 8259 demands is escaped, so that equal text gives equal bytes
// whatever its source (prompt caches compare bytes, D83); what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	return append(appendInside(append(dst, '"'), s), '"')
}

// appendInside appends what stands between the quotes.
func appendInside(dst []byte, s string) []byte {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	from, i := 0, 0
	for {
		i = plainRun(b, i)
		if i >= len(b) {
			return append(dst, b[from:]...)
		}
		if b[i] >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(b[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(append(dst, b[from:i]...), "\uFFFD"...)
		} else {
			dst = appendEscape(append(dst, b[from:i]...), b[i])
		}
		i++
		from = i
	}
}

// AppendDataURI appends data:<type>;base64,<data> as a JSON string.
func AppendDataURI(dst []byte, mediaType, data string) []byte {
	dst = appendInside(append(dst, `"data:`...), mediaType)
	return append(appendInside(append(dst, `;base64,`...), data), '"')
}

// plainRun is where the run of bytes ends that begins at i and that a JSON string holds as they are.
func plainRun(b []byte, i int) int {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := stops(w) | w&highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for i < len(b) && plain[b[i]] {
		i++
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}
