package study

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// The derivations below are a contract: a design that somebody drew years ago is
// drawn again from its seed. They use SHA-256 and ChaCha8 (the algorithm that
// c2sp.org/chacha8rand specifies) and nothing of Go that may change.

// The purposes that a key is derived for.
const (
	purposeParameter = "parameter"
	purposeRun       = "run"
)

// deriveKey is SHA-256 of "lynx-study-v1", purpose and a line feed each, the seed
// as eight bytes, and what the key is for; big endian.
func deriveKey(purpose string, seed uint64, subject []byte) [32]byte {
	text := []byte("lynx-study-v1\n" + purpose + "\n")
	text = binary.BigEndian.AppendUint64(text, seed)
	return sha256.Sum256(append(text, subject...))
}

// stream is the sequence of random numbers of one parameter.
type stream struct{ source *rand.ChaCha8 }

// newStream is the stream of a parameter: ChaCha8 with the key derived from the
// seed and the name's bytes.
func newStream(seed uint64, name string) stream {
	return stream{rand.NewChaCha8(deriveKey(purposeParameter, seed, []byte(name)))}
}

// fraction is uniform in the open interval (0, 1): (m + ½) 2^-52, m being the
// upper 52 bits of one number of the stream. It is exact, and symmetric about ½.
func (s stream) fraction() float64 {
	return float64((float64(s.source.Uint64()>>12) + 0.5) * 0x1p-52)
}

// below is uniform in 0 … n-1, without bias: the upper half of the 128-bit product
// of a number of the stream with n; a number whose lower half is less than
// 2^64 mod n is skipped (Lemire, ACM TOMACS 29, 2019).
func (s stream) below(n uint64) uint64 {
	for {
		high, low := bits.Mul64(s.source.Uint64(), n)
		if low >= -n%n {
			return high
		}
	}
}

// permutation is 0 … n-1 in random order, by Fisher and Yates: from the last
// place down to the second, each place swaps with a random one not after it.
func (s stream) permutation(n int) []uint32 {
	p := make([]uint32, n)
	for i := range p {
		p[i] = uint32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := s.below(uint64(i) + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// runSeed is the seed of a run: the upper 53 bits of the first eight bytes of the
// key derived from the batch's seed and the run's index, as eight bytes.
func runSeed(seed uint64, run int) uint64 {
	key := deriveKey(purposeRun, seed, binary.BigEndian.AppendUint64(nil, uint64(run)))
	return binary.BigEndian.Uint64(key[:]) >> 11
}
