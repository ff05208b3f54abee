package attempts

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

var errMade = errors.New("can't be made")

// Whoever asks while a handle is being made gets that handle, and nothing is made
// twice.
func TestOnceMakesOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry[*int]
		made, finish := 0, make(chan struct{})
		handles := make(chan *int, 5)
		for range cap(handles) {
			go func() {
				h, err := r.Once(t.Context(), "a", func() (*int, error) { made++; <-finish; return new(int), nil })
				if err != nil {
					t.Error(err)
				}
				handles <- h
			}()
		}
		synctest.Wait()
		if len(handles) > 0 {
			t.Error("a call did not wait for the handle")
		}
		close(finish)
		first := <-handles
		for range cap(handles) - 1 {
			if h := <-handles; h != first {
				t.Error("two handles of one attempt")
			}
		}
		if made != 1 {
			t.Errorf("made %d times", made)
		}
	})
}

// One attempt's trouble holds up no other.
func TestOnceOfAnotherAttempt(t *testing.T) {
	var r Registry[*int]
	_, err := r.Once(t.Context(), "a", func() (*int, error) {
		return r.Once(t.Context(), "b", func() (*int, error) { return new(int), nil })
	})
	if err != nil {
		t.Error(err)
	}
}

// A failure is its caller's; those that waited try by themselves.
func TestOnceAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry[*int]
		fail, want := make(chan struct{}), new(int)
		first := make(chan error)
		go func() {
			_, err := r.Once(t.Context(), "a", func() (*int, error) { <-fail; return nil, errMade })
			first <- err
		}()
		synctest.Wait()
		second := make(chan *int)
		go func() {
			h, err := r.Once(t.Context(), "a", func() (*int, error) { return want, nil })
			if err != nil {
				t.Error(err)
			}
			second <- h
		}()
		synctest.Wait()
		close(fail)
		if err := <-first; !errors.Is(err, errMade) {
			t.Errorf("error %v", err)
		}
		if h := <-second; h != want {
			t.Error("the second call has another handle than it made")
		}
	})
}

// A caller that gives up stops waiting, and disturbs nobody.
func TestOnceGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry[*int]
		finish, first := make(chan struct{}), make(chan *int)
		go func() {
			h, _ := r.Once(t.Context(), "a", func() (*int, error) { <-finish; return new(int), nil })
			first <- h
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if h, err := r.Once(ctx, "a", nil); h != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("handle %v, error %v", h, err)
		}
		// Nor does one that wants to forget what is not its own.
		r.Forget("a", nil)
		close(finish)
		h := <-first
		if again, err := r.Once(t.Context(), "a", nil); again != h || err != nil {
			t.Errorf("handle %v, error %v; want %v", again, err, h)
		}
	})
}

// TestSequences compares with a plain map: whatever is made, fails and is
// forgotten in whatever order.
func TestSequences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Registry[int]
		model, next := map[string]int{}, 0
		id := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"once": func(t *rapid.T) {
				attempt, fails := id.Draw(t, "attempt"), rapid.Bool().Draw(t, "fails")
				want, there := model[attempt]
				got, err := r.Once(context.Background(), attempt, func() (int, error) {
					if there {
						t.Fatalf("%s is made again", attempt)
					}
					if fails {
						return 0, errMade
					}
					next++
					return next, nil
				})
				switch {
				case there && (got != want || err != nil):
					t.Fatalf("%s is %d, %v; want %d", attempt, got, err, want)
				case !there && fails != errors.Is(err, errMade):
					t.Fatalf("%s: error %v", attempt, err)
				case !there && !fails:
					model[attempt] = got
				}
			},
			"forget": func(t *rapid.T) {
				attempt, handle := id.Draw(t, "attempt"), rapid.IntRange(1, max(next, 1)).Draw(t, "handle")
				r.Forget(attempt, handle)
				if model[attempt] == handle {
					delete(model, attempt)
				}
			},
		})
	})
}

func TestEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	cancel()
	if err := Ended(ctx, done); !errors.Is(err, context.Canceled) {
		t.Errorf("without an end: %v", err)
	}
	close(done)
	for range 100 {
		if err := Ended(ctx, done); err != nil {
			t.Fatalf("with one: %v", err)
		}
	}
}
