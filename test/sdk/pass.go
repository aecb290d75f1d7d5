package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/openai/openai-go/v3"
)

// PassCases are those of OpenAI's SDK beside chat and embeddings. They name models of the provider openai, which is a fake.
func PassCases() []Case {
	c := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "openai", Name: name, Run: run}
	}
	return []Case{
		c("completion", passCompletion), c("completion stream", passCompletionStream), c("completion stream with usage", passCompletionUsage),
		c("moderation", passModeration), c("moderation by default", passModerationDefault), c("image", passImage), c("image edit", passImageEdit),
		c("speech", passSpeech), c("transcription", passTranscription), c("translation", passTranslation), c("file", passFile), c("batch", passBatch),
		c("unknown file", passUnknownFile),
	}
}

const instruct = "openai/gpt-3.5-turbo-instruct"

func passCompletion(ctx context.Context, t Target) error {
	client := openaiClient(t)
	got, err := client.Completions.New(ctx, openai.CompletionNewParams{Model: instruct, Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("good day")}})
	if err != nil {
		return err
	}
	if len(got.Choices) != 1 {
		return fmt.Errorf("%d choices", len(got.Choices))
	}
	return errors.Join(equal("text", got.Choices[0].Text, "echo: good day"), equal("finish", string(got.Choices[0].FinishReason), "stop"),
		positive("tokens", got.Usage.TotalTokens))
}

func passStream(ctx context.Context, t Target, p openai.CompletionNewParams) (text string, tokens int64, err error) {
	client := openaiClient(t)
	p.Model, p.Prompt = instruct, openai.CompletionNewParamsPromptUnion{OfString: openai.String("good day to you")}
	s := client.Completions.NewStreaming(ctx, p)
	defer s.Close()
	for s.Next() {
		for _, choice := range s.Current().Choices {
			text += choice.Text
		}
		tokens += s.Current().Usage.TotalTokens
	}
	return text, tokens, s.Err()
}

func passCompletionStream(ctx context.Context, t Target) error {
	text, tokens, err := passStream(ctx, t, openai.CompletionNewParams{})
	return errors.Join(err, equal("text", text, "echo: good day to you"), equal("tokens that were not asked for", tokens, 0))
}

func passCompletionUsage(ctx context.Context, t Target) error {
	text, tokens, err := passStream(ctx, t, openai.CompletionNewParams{StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}})
	return errors.Join(err, equal("text", text, "echo: good day to you"), positive("tokens", tokens))
}

func passModerate(ctx context.Context, t Target, model string) error {
	client := openaiClient(t)
	got, err := client.Moderations.New(ctx, openai.ModerationNewParams{Model: model, Input: openai.ModerationNewParamsInputUnion{OfString: openai.String("violence")}})
	if err != nil {
		return err
	}
	if len(got.Results) != 1 || !got.Results[0].Flagged {
		return fmt.Errorf("results %+v", got.Results)
	}
	return equal("model", got.Model, "omni-moderation-latest")
}

func passModeration(ctx context.Context, t Target) error {
	return passModerate(ctx, t, "openai/omni-moderation-latest")
}

func passModerationDefault(ctx context.Context, t Target) error { return passModerate(ctx, t, "") }

func passImage(ctx context.Context, t Target) error {
	client := openaiClient(t)
	got, err := client.Images.Generate(ctx, openai.ImageGenerateParams{Model: "openai/gpt-image-1", Prompt: "a bridge"})
	if err != nil {
		return err
	}
	if len(got.Data) != 1 {
		return fmt.Errorf("%d images", len(got.Data))
	}
	return errors.Join(present("image", got.Data[0].B64JSON), positive("tokens", got.Usage.TotalTokens))
}

func passImageEdit(ctx context.Context, t Target) error {
	client := openaiClient(t)
	got, err := client.Images.Edit(ctx, openai.ImageEditParams{Model: "openai/gpt-image-1", Prompt: "a bridge",
		Image: openai.ImageEditParamsImageUnion{OfFile: openai.File(bytes.NewReader(sound(1000)), "a.png", "image/png")}})
	if err != nil {
		return err
	}
	return equal("images", len(got.Data), 1)
}

func passSpeech(ctx context.Context, t Target) error {
	client := openaiClient(t)
	got, err := client.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{Model: "openai/tts-1", Input: "good morning", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}})
	if err != nil {
		return err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	return errors.Join(err, equal("type", got.Header.Get("Content-Type"), "audio/mpeg"), positive("bytes", int64(len(b))), equal("whole", len(b)%32, 0))
}

// sound is n bytes that no text is.
func sound(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*i>>3 ^ i)
	}
	return b
}

// passTranscription uploads some megabytes. The SDK sends the model behind the file, so that it has to be said in a header, or be left to
// the provider.
func passTranscription(ctx context.Context, t Target) error {
	client := openaiClient(t)
	b := sound(3 << 20)
	got, err := client.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{Model: "gpt-4o-transcribe", File: openai.File(bytes.NewReader(b), "a.mp3", "audio/mpeg")})
	if err != nil {
		return err
	}
	return equal("text", got.Text, fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b)))
}

// passTranslation is small enough that the model is found behind the file.
func passTranslation(ctx context.Context, t Target) error {
	client := openaiClient(t)
	b := sound(20 << 10)
	//lint:ignore SA1019 the endpoint is old, and still served
	got, err := client.Audio.Translations.New(ctx, openai.AudioTranslationNewParams{Model: "openai/whisper-1", File: openai.File(bytes.NewReader(b), "a.mp3", "audio/mpeg")})
	if err != nil {
		return err
	}
	return equal("text", got.Text, fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b)))
}

func passUpload(ctx context.Context, client openai.Client) (*openai.FileObject, error) {
	return client.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader("{\"custom_id\":\"1\"}\n"), "requests.jsonl", "application/jsonl")})
}

func passFile(ctx context.Context, t Target) error {
	client := openaiClient(t)
	f, err := passUpload(ctx, client)
	if err != nil {
		return err
	}
	got, err := client.Files.Get(ctx, f.ID)
	if err != nil {
		return err
	}
	content, err := client.Files.Content(ctx, f.ID)
	if err != nil {
		return err
	}
	defer content.Body.Close()
	text, err := io.ReadAll(content.Body)
	if err != nil {
		return err
	}
	listed := 0
	for pages := client.Files.ListAutoPaging(ctx, openai.FileListParams{Limit: openai.Int(1)}); pages.Next(); {
		if pages.Current().ID == f.ID {
			listed++
		}
	}
	deleted, err := client.Files.Delete(ctx, f.ID)
	if err != nil {
		return err
	}
	_, gone := client.Files.Get(ctx, f.ID)
	return errors.Join(equal("id", got.ID, f.ID), equal("name", got.Filename, "requests.jsonl"), equal("content", string(text), "{\"custom_id\":\"1\"}\n"),
		equal("times listed", listed, 1), equal("deleted", deleted.Deleted, true), wantStatus(gone, 404, openaiStatus))
}

func passBatch(ctx context.Context, t Target) error {
	client := openaiClient(t)
	f, err := passUpload(ctx, client)
	if err != nil {
		return err
	}
	b, err := client.Batches.New(ctx, openai.BatchNewParams{InputFileID: f.ID, Endpoint: "/v1/chat/completions", CompletionWindow: "24h"})
	if err != nil {
		return err
	}
	listed := 0
	for pages := client.Batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: openai.Int(1)}); pages.Next(); {
		if pages.Current().ID == b.ID {
			listed++
		}
	}
	got, err := client.Batches.Cancel(ctx, b.ID)
	if err != nil {
		return err
	}
	return errors.Join(equal("file", b.InputFileID, f.ID), equal("times listed", listed, 1), equal("id", got.ID, b.ID), equal("status", string(got.Status), "cancelling"))
}

func passUnknownFile(ctx context.Context, t Target) error {
	client := openaiClient(t)
	_, err := client.Files.Get(ctx, "file-unknown")
	return wantStatus(err, 404, openaiStatus)
}
