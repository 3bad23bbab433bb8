#!/usr/bin/env bash
# Draws the clips in this folder, which the tests of video files read: make.sh FOLDER. It needs an ffmpeg with libx264,
# libx265, libvpx and libaom. Every clip shows the same test picture, so they belong to nobody.
set -euo pipefail
cd "${1:?the folder}"
draw() { # OPTIONS... FILE: two seconds at 30 frames/s
    ffmpeg -v error -y -f lavfi -i testsrc2=size=96x64:rate=30:duration=2 -fflags +bitexact -flags:v +bitexact "$@"
}
change() { # FILE OPTIONS... FILE
    ffmpeg -v error -y "${@:1:$#-1}" -fflags +bitexact "${@: -1}"
}
h264=(-c:v libx264 -crf 30 -g 15 -x264-params threads=1)

draw "${h264[@]}" plain.mp4
draw "${h264[@]}" -movflags +faststart index-first.mp4
draw -c:v libx265 -crf 35 -x265-params log-level=error:pools=1 hevc.mp4
draw -c:v libvpx-vp9 -crf 45 -b:v 0 vp9.webm
draw -c:v mjpeg -q:v 20 mjpeg.avi
draw "${h264[@]}" plain.flv

# Pauses between the frames, as phones and screen recorders make them.
pauses="select='lt(n,20)+not(mod(n,8))'"
for file in variable.mkv variable.mp4; do
    draw -vf "$pauses" -fps_mode vfr "${h264[@]}" $file
done
draw -vf "$pauses" -fps_mode passthrough -c:v mpeg4 -q:v 20 variable.avi
# Sound that goes on after the last frame.
change -i plain.mp4 -f lavfi -i sine=duration=6 -c:v copy -c:a aac -b:a 8k long-sound.mkv
# Trimmed without encoding: the frames before the start are in the file, hidden by an edit list.
change -ss 0.9 -i plain.mp4 -c copy trimmed.mp4
change -ss 0.9 -i variable.mp4 -c copy trimmed-variable.mp4
change -ss 0.9 -i plain.mp4 -c copy trimmed.mkv

draw -vf setfield=tff -c:v libx264 -crf 30 -x264-params tff=1:fake-interlaced=1:threads=1 marked-interlaced.mp4
draw -vf setfield=tff -flags +ilme+ildct -c:v libx264 -crf 30 -x264-params tff=1:threads=1 interlaced.mp4
draw -vf setfield=tff -flags +ilme+ildct -c:v mpeg2video -q:v 20 interlaced.mpg

draw -vf scale=48:64,setsar=2 "${h264[@]}" wide-pixels.mp4
draw -vf scale=96:32,setsar=1/2 "${h264[@]}" tall-pixels.mp4
draw -c:v libaom-av1 -cpu-used 8 -crf 50 -row-mt 0 av1.mp4
