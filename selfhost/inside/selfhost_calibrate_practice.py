"""Exercises made by rule, Chinese and English: sums, records, tables, small programs, lists, dates, questions.

They stand beside selfhost's written passages to give calibration figures, code and structure, which prose lacks. What
they say is right (sums are worked out), but it is practice, not knowledge.
"""
# ruff: noqa: RUF001 - Chinese text has punctuation of its own

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Made = tuple[str, str]
"""Language and text."""

_GOODS = [
    ("apples", "苹果"), ("notebooks", "笔记本"), ("screws", "螺丝"), ("tickets", "车票"), ("bottles", "瓶装水"),
    ("batteries", "电池"), ("chairs", "椅子"), ("light bulbs", "灯泡"), ("envelopes", "信封"), ("bags of rice", "大米"),
]  # fmt: skip
_NAMES = [
    ("Anna", "小林"), ("Peter", "王强"), ("Maria", "李娜"), ("Tom", "张伟"), ("Ruth", "陈静"), ("Omar", "刘洋"),
    ("Elena", "赵敏"), ("David", "周杰"), ("Sofia", "吴霞"), ("Karl", "孙亮"),
]  # fmt: skip
_CITIES = [
    ("Hamburg", "汉堡"), ("Lisbon", "里斯本"), ("Chengdu", "成都"), ("Harbin", "哈尔滨"), ("Nairobi", "内罗毕"),
    ("Lima", "利马"), ("Osaka", "大阪"), ("Xi'an", "西安"), ("Toronto", "多伦多"), ("Kunming", "昆明"),
]  # fmt: skip
_JOBS = [
    ("engineer", "工程师"), ("teacher", "教师"), ("nurse", "护士"), ("driver", "司机"), ("cook", "厨师"),
    ("accountant", "会计"), ("gardener", "园丁"), ("editor", "编辑"),
]  # fmt: skip
_TASKS = [
    ("back up the database", "备份数据库"), ("water the plants", "给植物浇水"), ("check the oil level", "检查油位"),
    ("send the invoice", "发送发票"), ("restart the service", "重启服务"), ("update the price list", "更新价目表"),
    ("lock the side door", "锁好侧门"), ("read the meter", "抄表"), ("print the labels", "打印标签"),
]  # fmt: skip
_FUNCTIONS = [
    ("mean", "values", "return sum(values) / len(values)", "the mean of a list of numbers", "求一组数的平均值"),
    ("is_even", "number", "return number % 2 == 0", "whether a number is even", "判断一个数是否为偶数"),
    ("reverse", "text", "return text[::-1]", "a text from its end to its beginning", "把字符串倒过来"),
    ("longest", "words", "return max(words, key=len)", "the longest word of a list", "找出列表中最长的词"),
    ("count", "text, letter", "return text.count(letter)", "how often a letter occurs", "统计某个字母出现的次数"),
    ("area", "width, height", "return width * height", "the area of a rectangle", "计算长方形的面积"),
    ("last", "items", "return items[-1] if items else None", "the last item, if there is one", "取最后一个元素"),
    ("unique", "items", "return sorted(set(items))", "the items without repetition", "去掉重复的元素"),
]


def exercises(count: int, seed: int) -> list[Made]:
    """That many, half of them Chinese; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - practice, not secrets
    return [_KINDS[number % len(_KINDS)](chance, number // len(_KINDS) % 2) for number in range(count)]


def _sum(chance: random.Random, chinese: int) -> Made:
    goods, name = chance.choice(_GOODS)[chinese], chance.choice(_NAMES)[chinese]
    pieces, price = chance.randint(2, 48), chance.randint(3, 99)
    paid = -(-pieces * price // 100) * 100 + 100
    total, change = pieces * price, paid - pieces * price
    if chinese:
        return "zh", (
            f"题目：{name}买了{pieces}件{goods}，每件{price}元，付了{paid}元，应找回多少元？\n"
            f"解：总价是{pieces}×{price}={total}元。{paid}-{total}={change}。答：应找回{change}元。"
        )
    return "en", (
        f"Question: {name} buys {pieces} {goods} at {price} cents each and pays {paid} cents. How much is the change?\n"
        f"Answer: the price is {pieces} * {price} = {total} cents, and {paid} - {total} = {change}. "
        f"The change is {change} cents."
    )


def _record(chance: random.Random, chinese: int) -> Made:
    (name, job, city) = (chance.choice(part)[chinese] for part in (_NAMES, _JOBS, _CITIES))
    record = {"id": chance.randint(1000, 99999), "name": name, "job": job, "city": city, "age": chance.randint(19, 66)}
    asked = "请把下面这个人的资料写成 JSON。" if chinese else "Write what is known of this person as JSON."
    said = (
        f"{name}，{record['age']}岁，在{city}做{job}，编号{record['id']}。"
        if chinese
        else f"{name} is {record['age']} years old and works as {job} in {city}; the number is {record['id']}."
    )
    return (
        "zh" if chinese else "en"
    ), f"{asked}\n{said}\n```json\n{json.dumps(record, ensure_ascii=False, indent=2)}\n```"


def _table(chance: random.Random, chinese: int) -> Made:
    head = ("品名", "数量", "单价", "金额") if chinese else ("item", "pieces", "price", "amount")
    rows = [(goods[chinese], chance.randint(1, 40), chance.randint(2, 90)) for goods in chance.sample(_GOODS, 4)]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    lines += [f"| {goods} | {pieces} | {price} | {pieces * price} |" for goods, pieces, price in rows]
    total = sum(pieces * price for _, pieces, price in rows)
    most = max(rows, key=lambda row: row[1] * row[2])[0]
    last = f"合计{total}元，金额最大的是{most}。" if chinese else f"The total is {total}; most of it is for {most}."
    return ("zh" if chinese else "en"), "\n".join([*lines, "", last])


def _program(chance: random.Random, chinese: int) -> Made:
    name, arguments, body, english, said = chance.choice(_FUNCTIONS)
    comment = said if chinese else english
    asked = f"用 Python 写一个函数：{said}。" if chinese else f"Write a Python function that gives {english}."
    code = f'def {name}({arguments}):\n    """{comment}"""\n    {body}\n'
    return ("zh" if chinese else "en"), f"{asked}\n```python\n{code}```"


def _list(chance: random.Random, chinese: int) -> Made:
    day, name = chance.randint(1, 28), chance.choice(_NAMES)[chinese]
    hours = sorted(chance.sample(range(7, 20), 4))
    tasks = [task[chinese] for task in chance.sample(_TASKS, 4)]
    if chinese:
        lines = [f"{hour}:00 {task}" for hour, task in zip(hours, tasks, strict=True)]
        return "zh", f"{name}在{chance.randint(1, 12)}月{day}日的安排：\n" + "\n".join(lines)
    lines = [f"- {hour:02}:00 {task}" for hour, task in zip(hours, tasks, strict=True)]
    return "en", f"Plan of {name} for day {day} of the month:\n" + "\n".join(lines)


def _words(chance: random.Random, chinese: int) -> Made:
    pairs = [chance.choice(chance.choice((_GOODS, _CITIES, _JOBS, _TASKS))) for _ in range(5)]
    if chinese:
        return "zh", "把下列英文译成中文：\n" + "\n".join(f"{english} → {other}" for english, other in pairs)
    return "en", "Translate from Chinese into English:\n" + "\n".join(
        f"{other} = {english}" for english, other in pairs
    )


def _route(chance: random.Random, chinese: int) -> Made:
    start, end = (city[chinese] for city in chance.sample(_CITIES, 2))
    speed, hours = chance.choice((60, 80, 90, 120, 240)), chance.randint(2, 9)
    if chinese:
        return "zh", (
            f"一列火车从{start}开往{end}，平均每小时行{speed}公里，{hours}小时后走了{speed * hours}公里。"
            f"如果早上{chance.randint(5, 11)}点出发，它会在路上停靠{chance.randint(2, 7)}站。"
        )
    return "en", (
        f"A train from {start} to {end} runs at {speed} km/h on average, so after {hours} hours it has gone "
        f"{speed * hours} km. It stops {chance.randint(2, 7)} times on the way."
    )


def _log(chance: random.Random, chinese: int) -> Made:
    host, task = f"node-{chance.randint(1, 40):02}", chance.choice(_TASKS)
    day = f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    stamps = sorted(chance.randint(0, 3599) for _ in range(4))
    levels = [chance.choice(("INFO", "INFO", "WARN", "ERROR")) for _ in stamps]
    lines = [
        f"{day}T08:{stamp // 60:02}:{stamp % 60:02}Z {host} {level} "
        f'{"任务" if chinese else "task"} "{task[chinese]}" step={step} elapsed={chance.randint(3, 900)}ms'
        for step, (stamp, level) in enumerate(zip(stamps, levels, strict=True))
    ]
    return ("zh" if chinese else "en"), "\n".join(lines)


_KINDS: tuple[Callable[[random.Random, int], Made], ...] = (
    _sum,
    _record,
    _table,
    _program,
    _list,
    _words,
    _route,
    _log,
)
