/** How the report looks: on a bright screen, a dark one, a narrow one, and on paper. */
export const style = `
:root { color-scheme: light dark; --ground: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --dim: #5d6672; --rule: #dfe3e8; --good: #1a7f4b; --bad: #b4500f; --heat: 66 99 235;
  --c1: #4263eb; --c2: #0ca678; --c3: #e8590c; --c4: #ae3ec9; --c5: #1098ad; --c6: #d6336c; --c7: #74a116; --c8: #868e96 }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --card: #1d2128; --ink: #e6e9ee; --dim: #98a2b0; --rule: #323944; --good: #51cf8b; --bad: #ffa94d; --heat: 108 140 255;
  --c1: #748ffc; --c2: #38d9a9; --c3: #ff922b; --c4: #da77f2; --c5: #3bc9db; --c6: #f783ac; --c7: #a9e34b; --c8: #adb5bd } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px }
header { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; justify-content: space-between }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 18px; margin: 36px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule) }
h3 { font-size: 14px; margin: 0 0 6px }
p { margin: 4px 0 10px } .dim, figcaption, .note { color: var(--dim); font-size: 13px }
.language { font-size: 13px; white-space: nowrap } .language { position: relative } .language input { position: absolute; opacity: 0; pointer-events: none } .language label { cursor: pointer; padding: 2px 8px; border-radius: 4px; color: var(--dim) }
.language input:checked + label { background: var(--card); color: var(--ink); font-weight: 600 } .language input:focus-visible + label { outline: 2px solid var(--c1) }
.zh { display: none } :root:has(#language-zh:checked) .en { display: none } :root:has(#language-zh:checked) .zh { display: inline }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 18px 0 }
.figures > div { background: var(--card); border-radius: 8px; padding: 10px 14px } .figures b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; line-height: 1.25 }
.figures small { color: var(--dim); display: block; font-size: 12.5px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 20px 28px; align-items: start }
figure { margin: 0 } .chart { width: 100%; max-width: 560px; height: auto; display: block }
.grid { stroke: var(--rule); stroke-width: 1 } .axis { stroke: var(--dim); stroke-width: 1 } .tick, .label { fill: var(--dim); font-size: 10.5px } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.ideal { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 4; opacity: .7 }
.legend { list-style: none; margin: 4px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 13px } .legend li { overflow-wrap: anywhere } .legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; width: 100% }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--rule) } th { font-weight: 600; color: var(--dim); font-size: 13px } th:first-child, td:first-child { text-align: left; padding-left: 2px }
td.name, th.name { text-align: left; max-width: 22em; overflow-wrap: anywhere }
.errors td:nth-child(2) { text-align: left; color: var(--dim) } .errors .wide { width: 34% } .bar { width: 100%; height: 10px; display: block } .track { fill: var(--rule) }
.confusion { width: auto; font-size: 13px } .confusion td { text-align: center; min-width: 38px; border: 1px solid var(--ground) } .confusion th.name { max-width: 15em; text-align: right; white-space: nowrap; overflow: hidden; text-overflow: ellipsis } .confusion thead th { vertical-align: bottom; text-align: center } .confusion thead .name { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-align: left; display: inline-block }
.confusion .right { font-weight: 700 }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 16px } .pictures figure { break-inside: avoid } .picture { position: relative; border-radius: 6px; overflow: hidden; background: #000 } .picture img { display: block; width: 100%; height: auto }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100% } .picture rect { fill: none; vector-effect: non-scaling-stroke; stroke-width: 2 } .picture .truth { stroke: #40c057 } .picture .said { stroke: #ff922b; stroke-dasharray: 5 4 } .picture text { paint-order: stroke; stroke: #000; font-weight: 600 } .picture .by-truth { fill: #8ce99a } .picture .by-said { fill: #ffc078 }
figcaption { overflow-wrap: anywhere; margin-top: 4px } pre, code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace } pre { background: var(--card); padding: 12px 14px; border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere; margin: 6px 0 }
dl { display: grid; grid-template-columns: minmax(7em, max-content) 1fr; gap: 2px 16px; margin: 6px 0; font-size: 14px } dt { color: var(--dim) } dd { margin: 0; overflow-wrap: anywhere }
.notes { margin: 6px 0; padding-left: 20px; font-size: 14px } .notes li { overflow-wrap: anywhere } .verdict { font-weight: 600 } .up { color: var(--good) } .down { color: var(--bad) }
@media (max-width: 480px) { main { padding: 16px 14px 40px } h1 { font-size: 22px } .figures { grid-template-columns: 1fr 1fr } .figures b { font-size: 19px } th, td { padding: 4px 6px } .errors .wide { width: 22% } .errors td:nth-child(2) { font-size: 12.5px } }
@media print { :root { color-scheme: light; --ground: #fff; --card: #f3f4f6; --ink: #000; --dim: #444; --rule: #ccc; --c1: #4263eb; --c2: #0ca678; --c3: #e8590c; --heat: 66 99 235 } body { font-size: 11pt } main { max-width: none; padding: 0 } .language { display: none } h2 { break-after: avoid } table, figure, .figures { break-inside: avoid } .scroll { overflow: visible } * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
`
