package onnx

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// inputs and output are the names that BERT-like sentence encoders are exported with.
var inputs = [...]string{"input_ids", "attention_mask", "token_type_ids"}

const output = "last_hidden_state"

// maxTokens bounds one input; the position embeddings of BERT end at 512.
const maxTokens = 512

// Session is one loaded model. Its methods may be called from several goroutines at the same time, except Close.
type Session struct {
	api                    *api
	env, options, session  handle
	memory                 handle
	names                  [][]byte // kept alive for the addresses below
	inputNames, outputName []uintptr
	dimensions             int
}

// Open loads the shared library and the model. Each Embed uses one thread: whoever wants more calls it concurrently, which
// scales better for short texts than several threads for one.
func Open(library, model string) (*Session, error) {
	a, err := load(library)
	if err != nil {
		return nil, err
	}
	s := &Session{api: a}
	if err := s.open(model); err != nil {
		s.Close()
		return nil, err
	}
	vec, err := s.Embed([]uint16{101, 102}) // [CLS] [SEP]: shows that the model is of the expected kind, and its width
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("try %s: %w", model, err)
	}
	s.dimensions = len(vec)
	return s, nil
}

func (s *Session) open(model string) (err error) {
	s.inputNames, s.outputName = buffer[uintptr](len(inputs)), buffer[uintptr](1)
	for i, name := range inputs {
		s.names = append(s.names, cString(name))
		s.inputNames[i] = address(s.names[i])
	}
	s.names = append(s.names, cString(output))
	s.outputName[0] = address(s.names[len(inputs)])
	path, id := cString(model), cString("dragoman")
	defer runtime.KeepAlive(path)
	defer runtime.KeepAlive(id)
	a := s.api
	if s.env, err = a.make(createEnv, loggingError, address(id)); err != nil {
		return err
	}
	if s.options, err = a.make(createSessionOptions); err != nil {
		return err
	}
	for _, set := range []struct {
		function int
		args     []uintptr
	}{
		{setIntraOpNumThreads, []uintptr{s.options, 1}},
		{setInterOpNumThreads, []uintptr{s.options, 1}},
		{setSessionGraphOptimization, []uintptr{s.options, optimizeAll}},
		// The arena keeps the largest activation that it has ever seen: half the process's memory, for 0.1 ms.
		{disableCPUMemArena, []uintptr{s.options}},
		{disableMemPattern, []uintptr{s.options}},
	} {
		if err := a.call(set.function, set.args...); err != nil {
			return err
		}
	}
	if s.memory, err = a.make(createCPUMemoryInfo, arenaAllocator, memTypeDefault); err != nil {
		return err
	}
	s.session, err = a.make(createSession, s.env, address(path), s.options)
	return err
}

// Dimensions is the length of a vector.
func (s *Session) Dimensions() int { return s.dimensions }

// Embed is the mean of the last layer over all tokens, with length 1.
func (s *Session) Embed(ids []uint16) ([]float32, error) {
	n := len(ids)
	if n == 0 || n > maxTokens {
		return nil, fmt.Errorf("%d tokens: must be 1 to %d", n, maxTokens)
	}
	data, shape := buffer[int64](len(inputs)*n), buffer[int64](2)
	for i, id := range ids {
		data[i], data[n+i] = int64(id), 1
	}
	shape[0], shape[1] = 1, int64(n)
	defer runtime.KeepAlive(data)
	defer runtime.KeepAlive(shape)
	in, out := buffer[handle](len(inputs)), buffer[handle](1)
	defer func() {
		for _, v := range append(in, out[0]) {
			s.api.release(releaseValue, v)
		}
	}()
	for i := range in {
		v, err := s.api.make(createTensorWithDataAsOrtValue, s.memory, address(data[i*n:]), uintptr(n*8), address(shape), 2, elementInt64)
		if err != nil {
			return nil, err
		}
		in[i] = v
	}
	if err := s.api.call(run, s.session, 0, address(s.inputNames), address(in), uintptr(len(in)), address(s.outputName), 1, address(out)); err != nil {
		return nil, err
	}
	return s.pool(out[0], n)
}

// pool reads the output tensor [1, n, width].
func (s *Session) pool(value handle, n int) ([]float32, error) {
	width, err := s.width(value, n)
	if err != nil {
		return nil, err
	}
	p, err := s.api.make(getTensorMutableData, value)
	if err != nil {
		return nil, err
	}
	hidden := unsafe.Slice((*float32)(pointer(p)), n*width)
	sum := make([]float64, width)
	for row := range n {
		for i, x := range hidden[row*width : (row+1)*width] {
			sum[i] += float64(x)
		}
	}
	var norm float64
	for _, x := range sum {
		norm += x * x
	}
	norm = math.Sqrt(norm)
	if norm == 0 || math.IsNaN(norm) || math.IsInf(norm, 0) {
		return nil, fmt.Errorf("the model gave a vector of length %v", norm)
	}
	vec := make([]float32, width)
	for i, x := range sum {
		vec[i] = float32(x / norm)
	}
	return vec, nil
}

// width checks the output's type and shape before its memory is read.
func (s *Session) width(value handle, n int) (int, error) {
	info, err := s.api.make(getTensorTypeAndShape, value)
	if err != nil {
		return 0, err
	}
	defer s.api.release(releaseTensorTypeAndShapeInfo, info)
	element, rank, dims := buffer[int32](1), buffer[uintptr](1), buffer[int64](3)
	if err := s.api.call(getTensorElementType, info, address(element)); err != nil {
		return 0, err
	}
	if err := s.api.call(getDimensionsCount, info, address(rank)); err != nil {
		return 0, err
	}
	if element[0] != elementFloat || rank[0] != 3 {
		return 0, fmt.Errorf("the model's output has element type %d and %d dimensions, want floats in 3", element[0], rank[0])
	}
	if err := s.api.call(getDimensions, info, address(dims), 3); err != nil {
		return 0, err
	}
	if dims[0] != 1 || dims[1] != int64(n) || dims[2] < 1 || dims[2] > 1<<14 {
		return 0, fmt.Errorf("the model's output has the shape %v", dims)
	}
	return int(dims[2]), nil
}

// Close releases everything.
func (s *Session) Close() {
	s.api.release(releaseSession, s.session)
	s.api.release(releaseMemoryInfo, s.memory)
	s.api.release(releaseSessionOptions, s.options)
	s.api.release(releaseEnv, s.env)
	s.session, s.memory, s.options, s.env = 0, 0, 0, 0
}
