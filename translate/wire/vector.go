package wire

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// AppendFloats appends a vector as a JSON array, each number in the fewest digits that give the same float32 back.
func AppendFloats(dst []byte, vector []float32) []byte {
	dst = append(dst, '[')
	for i, v := range vector {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(v), 'g', -1, 32)
	}
	return append(dst, ']')
}

// AppendVector64 appends a vector as base64 of its numbers, four bytes each, little-endian: OpenAI's and Cohere's compact
// form.
func AppendVector64(dst []byte, vector []float32) []byte {
	var group [12]byte // three numbers: a multiple of both 4 and 3 bytes, so that groups are encoded on their own
	for len(vector) >= 3 {
		for i := range 3 {
			binary.LittleEndian.PutUint32(group[4*i:], math.Float32bits(vector[i]))
		}
		dst = base64.StdEncoding.AppendEncode(dst, group[:])
		vector = vector[3:]
	}
	for i, v := range vector {
		binary.LittleEndian.PutUint32(group[4*i:], math.Float32bits(v))
	}
	return base64.StdEncoding.AppendEncode(dst, group[:4*len(vector)])
}

// ParseVector64 reads what AppendVector64 wrote. ok is false for what is no base64, no whole number of float32, or holds
// a number that is not finite.
func ParseVector64(text []byte) (vector []float32, ok bool) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(raw, text)
	if err != nil || n%4 != 0 {
		return nil, false
	}
	vector = make([]float32, 0, n/4)
	for i := 0; i < n; i += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[i:]))
		if v != v || v > math.MaxFloat32 || v < -math.MaxFloat32 {
			return nil, false
		}
		vector = append(vector, v)
	}
	return vector, true
}

// ParseFloats reads a JSON array of numbers whose syntax has been checked. ok is false for an element that is no number,
// or too large for a float32.
func ParseFloats(array []byte, hint int) (vector []float32, ok bool) {
	vector = make([]float32, 0, hint)
	for i := 0; i < len(array); {
		switch c := array[i]; {
		case c == '[' || c == ']' || c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(array) && number[array[end]] {
				end++
			}
			v, err := strconv.ParseFloat(string(array[i:end]), 32)
			if err != nil {
				return nil, false
			}
			vector = append(vector, float32(v))
			i = end
		default:
			return nil, false
		}
	}
	return vector, true
}

// number says which bytes a JSON number holds.
var number = func() (t [256]bool) {
	for _, c := range "0123456789+-.eE" {
		t[c] = true
	}
	return t
}()
