package data

import (
	"bytes"
	"crypto/sha256"
	"math"
	"slices"

	"github.com/pkg/errors"
)

// A Corpus is the text of one or more files, joined in order with nothing added
// between them.
type Corpus struct {
	// Name says in words where the text comes from, for logs.
	Name string

	text    []byte
	ends    []int // ends[i] is the offset in text just after file i.
	skipped int
}

// NewCorpus returns the corpus of texts that are in memory already, one for
// each file. The texts are copied; empty ones are left out.
func NewCorpus(name string, files ...[]byte) *Corpus {
	c := &Corpus{Name: name}
	for _, file := range files {
		c.add(file)
	}
	return c
}

// Bytes returns the whole text. The caller must not change it.
func (c *Corpus) Bytes() []byte { return c.text }

// Files returns the number of files that the text was made of.
func (c *Corpus) Files() int { return len(c.ends) }

// Skipped returns the number of files that [Load] met and left out because they
// hold no text.
func (c *Corpus) Skipped() int { return c.skipped }

// add appends one file.
func (c *Corpus) add(file []byte) {
	c.text = append(c.text, file...)
	c.endFile()
}

// endFile makes a file of what was appended to the text since the last one, if
// anything was.
func (c *Corpus) endFile() {
	if len(c.text) > c.start(len(c.ends)) {
		c.ends = append(c.ends, len(c.text))
	}
}

// start returns the offset of file i.
func (c *Corpus) start(i int) int {
	if i == 0 {
		return 0
	}
	return c.ends[i-1]
}

// file returns the text of file i.
func (c *Corpus) file(i int) []byte { return c.text[c.start(i):c.ends[i]] }

// Split divides the corpus into a part to train on and a part held out, which
// has about the share heldOut of the bytes, 0 < heldOut < 1.
//
// Whole files are held out, picked by a hash of their contents: so the choice
// is spread evenly over the corpus, does not depend on file names or on a seed,
// and copies of a file land on the same side. Where whole files cannot come
// within a half of the share, as in a corpus of one file, the held-out part is
// the tail of the text instead.
//
// It is an error if heldOut is out of range or the corpus too small for two
// parts. The two parts are copies.
func (c *Corpus) Split(heldOut float64) (train, held *Corpus, err error) {
	if !(heldOut > 0 && heldOut < 1) {
		return nil, nil, errors.Errorf("data.Corpus.Split: held-out share is %v: want more than 0 and less than 1", heldOut)
	}
	if len(c.text) < 2 {
		return nil, nil, errors.Errorf("data.Corpus.Split: corpus %q has %d bytes: want at least 2", c.Name, len(c.text))
	}
	train = &Corpus{Name: c.Name + ", training part", skipped: c.skipped}
	held = &Corpus{Name: c.Name + ", held-out part", skipped: c.skipped}

	want := heldOut * float64(len(c.text))
	picked, size := c.pick(want)
	if float64(size) < want/2 || size == len(c.text) {
		cut := len(c.text) - int(math.Round(want))
		c.cutAt(min(max(cut, 1), len(c.text)-1), train, held)
		return train, held, nil
	}
	train.text = make([]byte, 0, len(c.text)-size)
	held.text = make([]byte, 0, size)
	for i := range c.ends {
		if picked[i] {
			held.add(c.file(i))
		} else {
			train.add(c.file(i))
		}
	}
	return train, held, nil
}

// pick marks files of together about want bytes and at most one and a half
// times as many, and returns their size.
func (c *Corpus) pick(want float64) (picked []bool, size int) {
	type entry struct {
		hash [sha256.Size]byte
		file int
	}
	order := make([]entry, len(c.ends))
	for i := range order {
		order[i] = entry{sha256.Sum256(c.file(i)), i}
	}
	slices.SortFunc(order, func(a, b entry) int { return bytes.Compare(a.hash[:], b.hash[:]) })

	picked = make([]bool, len(c.ends))
	for i := 0; i < len(order) && float64(size) < want; {
		copies := i + 1
		for copies < len(order) && order[copies].hash == order[i].hash {
			copies++
		}
		if total := (copies - i) * len(c.file(order[i].file)); float64(size+total) <= 1.5*want {
			size += total
			for _, e := range order[i:copies] {
				picked[e.file] = true
			}
		}
		i = copies
	}
	return picked, size
}

// cutAt gives the text before offset cut to train and the rest to held.
func (c *Corpus) cutAt(cut int, train, held *Corpus) {
	for i := range c.ends {
		from, to := c.start(i), c.ends[i]
		train.add(c.text[min(from, cut):min(to, cut)])
		held.add(c.text[max(from, cut):max(to, cut)])
	}
}
