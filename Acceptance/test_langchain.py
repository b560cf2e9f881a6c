"""LangChain's ChatOpenAI: invoke, stream, structured output, tools."""
import unittest
from typing import Literal

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, Field

from support import MODEL_NAME, post, tool_server, url


class Colour(BaseModel):
    """A colour."""

    colour: Literal["red", "green", "blue"] = Field(description="its name")
    bright: bool


@tool
def get_weather(city: Literal["Paris", "Rome"]) -> str:
    """The weather of a city."""
    return f"20 degrees in {city}"


class LangChainTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.address = url()

    def model(self, **fields):
        defaults = {"model": MODEL_NAME, "base_url": f"{self.address}/v1", "api_key": "none", "max_retries": 0,
                    "max_tokens": 12, "temperature": 0, "timeout": 60}
        return ChatOpenAI(**{**defaults, **fields})


class ChatTests(LangChainTests):
    def test_invoke(self):
        answer = self.model(max_tokens=3).invoke([SystemMessage("Be brief."), HumanMessage("Name a colour.")])
        self.assertNotEqual(answer.content, "")
        self.assertEqual(answer.usage_metadata["output_tokens"], 3)
        self.assertEqual(answer.response_metadata["finish_reason"], "length")

    def test_stream(self):
        parts = list(self.model(stream_usage=True).stream("Name a colour."))
        self.assertEqual("".join(part.content for part in parts), self.model().invoke("Name a colour.").content)
        self.assertEqual(sum(part.usage_metadata["output_tokens"] for part in parts if part.usage_metadata), 12)

    def test_batch(self):
        answers = self.model().batch(["Name a colour.", "Name a city."])
        self.assertEqual(answers[0].content, self.model().invoke("Name a colour.").content)

    def test_completion(self):
        model = OpenAI(
            model=MODEL_NAME, base_url=url("/v1"), api_key="none", max_retries=0, max_tokens=8, temperature=0)
        answer = post("/v1/completions", prompt="One, two,", max_tokens=8, temperature=0)
        self.assertEqual(model.invoke("One, two,"), answer["choices"][0]["text"])

    def test_structured_output(self):
        model = self.model(max_tokens=64).with_structured_output(Colour, method="json_schema")
        self.assertIsInstance(model.invoke("Name a colour."), Colour)


class ToolTests(LangChainTests):
    @classmethod
    def setUpClass(cls):
        cls.address = cls.enterClassContext(tool_server())[0]

    def test_structured_output_by_a_call(self):
        model = self.model(max_tokens=64).with_structured_output(Colour, method="function_calling")
        self.assertIsInstance(model.invoke("Name a colour."), Colour)

    def test_tools(self):
        model = self.model(max_tokens=64).bind_tools([get_weather], tool_choice="get_weather")
        answer = model.invoke("What is the weather in Paris?")
        self.assertEqual([call["name"] for call in answer.tool_calls], ["get_weather"])
        call = answer.tool_calls[0]
        self.assertIn(call["args"]["city"], ["Paris", "Rome"])
        result = get_weather.invoke(call)
        self.assertIsInstance(result, ToolMessage)
        last = self.model().invoke([HumanMessage("What is the weather in Paris?"), answer, result])
        self.assertIsInstance(last, AIMessage)

    def test_tools_stream(self):
        model = self.model(max_tokens=64).bind_tools([get_weather], tool_choice="any", parallel_tool_calls=False)
        whole = None
        for part in model.stream("What is the weather in Paris?"):
            whole = part if whole is None else whole + part
        self.assertEqual([call["name"] for call in whole.tool_calls], ["get_weather"])
        self.assertIn(whole.tool_calls[0]["args"]["city"], ["Paris", "Rome"])
