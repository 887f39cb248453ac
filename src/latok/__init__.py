"""latok"""
