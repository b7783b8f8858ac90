// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// PartitionState is what one broker believes of a partition.
type PartitionState struct {
	Leader   int32 // -1 = none
	Replicas []int32
	ISR      []int32
}

// state asks each broker in turn, until one answers, for the partitions of a topic. It speaks the protocol by hand
// (Metadata, version 1): the judge must not hang together with the client that it judges.
func (k *Kafka) state(ctx context.Context, topic string) ([]PartitionState, error) {
	var errs []error
	for _, addr := range k.Brokers {
		ps, err := metadata(ctx, addr, topic)
		if err == nil {
			return ps, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	return nil, errors.Join(errs...)
}

func metadata(ctx context.Context, addr, topic string) ([]PartitionState, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(end); err != nil {
			return nil, err
		}
	}
	be := binary.BigEndian
	req := be.AppendUint32(nil, 0) // length, below
	req = append(req, 0, 3, 0, 1)  // Metadata, version 1
	req = append(req, 0, 0, 0, 7)  // correlation id
	req = append(req, 0, 1, 't')   // client id
	req = be.AppendUint32(req, 1)  // one topic
	req = be.AppendUint16(req, uint16(len(topic)))
	req = append(req, topic...)
	be.PutUint32(req, uint32(len(req)-4))
	if _, err := c.Write(req); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	resp := make([]byte, be.Uint32(size[:]))
	if _, err := io.ReadFull(c, resp); err != nil {
		return nil, err
	}
	d := decoder{b: resp}
	return d.metadata(topic)
}

// decoder takes the fields of a response one after the other; after the end it gives zeros and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || len(d.b) < n {
		d.bad = true
		return make([]byte, 8)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) int16() int16 { return int16(binary.BigEndian.Uint16(d.take(2))) }
func (d *decoder) int32() int32 { return int32(binary.BigEndian.Uint32(d.take(4))) }

func (d *decoder) string() string {
	n := d.int16()
	if n < 0 {
		return ""
	}
	return string(d.take(int(n)))
}

func (d *decoder) int32s() []int32 {
	var v []int32
	for n := d.int32(); n > 0 && !d.bad; n-- {
		v = append(v, d.int32())
	}
	return v
}

func (d *decoder) metadata(topic string) ([]PartitionState, error) {
	d.int32() // correlation id
	for n := d.int32(); n > 0 && !d.bad; n-- {
		d.int32()  // broker id
		d.string() // host
		d.int32()  // port
		d.string() // rack
	}
	d.int32() // controller
	if d.int32() != 1 {
		return nil, errors.New("the answer is not about one topic")
	}
	if code := d.int16(); code != 0 {
		return nil, fmt.Errorf("topic %s: Kafka's error %d", topic, code)
	}
	d.string()       // topic
	_ = d.take(1)[0] // internal
	n := int(d.int32())
	if d.bad || n < 0 || n > 10_000 {
		return nil, errors.New("the answer is cut off")
	}
	ps := make([]PartitionState, n)
	for range n {
		d.int16() // error of the partition; a leader of -1 says enough
		i := d.int32()
		p := PartitionState{Leader: d.int32(), Replicas: d.int32s(), ISR: d.int32s()}
		if d.bad || i < 0 || int(i) >= n {
			return nil, errors.New("the answer is cut off")
		}
		slices.Sort(p.ISR)
		ps[i] = p
	}
	return ps, nil
}
